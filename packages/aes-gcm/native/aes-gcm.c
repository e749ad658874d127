/*
 * AES-GCM over the OpenSSL inside Node (its symbols are exported to addons; its headers come with Node's own).
 *
 *   make(key)                                                  → key handle
 *   seal(handle, nonce, header, associatedData, plaintext, out, at)   ciphertext ‖ tag into out from `at` on
 *   open(handle, nonce, header, associatedData, sealed, out)          → whether the tag was right
 *   release(handle)                                            clears the expanded key
 *
 * header ‖ associatedData is what is authenticated beside the text. All buffers are Uint8Arrays. A call that
 * is not of this form throws a TypeError and touches nothing; the TypeScript beside this is its only caller.
 * Everything runs on the caller's thread, and a handle belongs to the environment that made it.
 */
#include <limits.h>
#include <node_api.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { NONCE_BYTES = 12, TAG_BYTES = 16 };

/* Tells our handles from any other external value. */
static const napi_type_tag key_tag = {0x6d1c7a52f0b84e19ULL, 0x93d5e08a41c26fb7ULL};

struct key {
  EVP_CIPHER_CTX *context; /* NULL once it is released */
};

struct bytes {
  uint8_t *data;
  size_t length;
};

static void release_context(struct key *key) {
  /* Frees the provider's context with OPENSSL_clear_free: the expanded key is zeroed. */
  EVP_CIPHER_CTX_free(key->context);
  key->context = NULL;
}

static void finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  release_context(data);
  OPENSSL_free(data);
}

static napi_value refuse(napi_env env, const char *why) {
  napi_throw_type_error(env, NULL, why);
  return NULL;
}

static bool read_bytes(napi_env env, napi_value value, struct bytes *bytes) {
  napi_typedarray_type type;
  bool is_array = false;
  void *data = NULL;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  if (napi_get_typedarray_info(env, value, &type, &bytes->length, &data, NULL, NULL) != napi_ok) return false;
  bytes->data = data;
  /* EVP counts in int; 1 GiB is far beyond what anything here takes. */
  return type == napi_uint8_array && bytes->length <= INT_MAX / 2 && (bytes->length == 0 || data != NULL);
}

static struct key *read_key(napi_env env, napi_value value) {
  napi_valuetype type;
  bool ours = false;
  void *data = NULL;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_external) return NULL;
  if (napi_check_object_type_tag(env, value, &key_tag, &ours) != napi_ok || !ours) return NULL;
  return napi_get_value_external(env, value, &data) == napi_ok ? data : NULL;
}

static const EVP_CIPHER *cipher_for(size_t key_bytes) {
  switch (key_bytes) {
    case 16: return EVP_aes_128_gcm();
    case 24: return EVP_aes_192_gcm();
    case 32: return EVP_aes_256_gcm();
    default: return NULL;
  }
}

static napi_value make(napi_env env, napi_callback_info info) {
  napi_value arguments[1], handle;
  size_t count = 1;
  struct bytes secret;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 1 ||
      !read_bytes(env, arguments[0], &secret))
    return refuse(env, "make takes a key");
  const EVP_CIPHER *cipher = cipher_for(secret.length);
  if (cipher == NULL) return refuse(env, "a key has 16, 24 or 32 bytes");
  struct key *key = OPENSSL_zalloc(sizeof *key);
  if (key == NULL) return refuse(env, "out of memory");
  key->context = EVP_CIPHER_CTX_new();
  /* The direction is set anew for each message; the expanded key serves both. */
  if (key->context == NULL || EVP_CipherInit_ex(key->context, cipher, NULL, secret.data, NULL, 1) != 1 ||
      napi_create_external(env, key, finalize, NULL, &handle) != napi_ok) {
    finalize(env, key, NULL);
    return refuse(env, "OpenSSL refused the key");
  }
  /* From here on the collector owns the key. */
  if (napi_type_tag_object(env, handle, &key_tag) != napi_ok) return refuse(env, "the key could not be marked");
  return handle;
}

static bool begin(EVP_CIPHER_CTX *context, bool sealing, const struct bytes *nonce, const struct bytes bound[2]) {
  int length;
  if (EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce->data, sealing ? 1 : 0) != 1) return false;
  for (int part = 0; part < 2; part += 1) {
    if (bound[part].length > 0 &&
        EVP_CipherUpdate(context, NULL, &length, bound[part].data, (int)bound[part].length) != 1)
      return false;
  }
  return true;
}

/* The text in one piece; OpenSSL wants no call for an empty one. */
static bool transform(EVP_CIPHER_CTX *context, uint8_t *out, const uint8_t *in, size_t length) {
  int written = 0;
  if (length == 0) return true;
  return EVP_CipherUpdate(context, out, &written, in, (int)length) == 1 && (size_t)written == length;
}

static napi_value seal(napi_env env, napi_callback_info info) {
  napi_value arguments[7], nothing;
  size_t count = 7;
  struct bytes nonce, bound[2], plaintext, out;
  uint32_t at;
  int written = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 7) return refuse(env, "seal takes seven arguments");
  struct key *key = read_key(env, arguments[0]);
  if (key == NULL || key->context == NULL) return refuse(env, "the key was released, or is none");
  if (!read_bytes(env, arguments[1], &nonce) || !read_bytes(env, arguments[2], &bound[0]) ||
      !read_bytes(env, arguments[3], &bound[1]) || !read_bytes(env, arguments[4], &plaintext) ||
      !read_bytes(env, arguments[5], &out) || napi_get_value_uint32(env, arguments[6], &at) != napi_ok)
    return refuse(env, "seal takes bytes, and a place to write to");
  if (nonce.length != NONCE_BYTES) return refuse(env, "a nonce has 12 bytes");
  if (at > out.length || out.length - at != plaintext.length + TAG_BYTES) return refuse(env, "the output has another length");
  uint8_t *target = out.data + at;
  if (!begin(key->context, true, &nonce, bound) ||
      !transform(key->context, target, plaintext.data, plaintext.length) ||
      EVP_CipherFinal_ex(key->context, target + plaintext.length, &written) != 1 ||
      EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, target + plaintext.length) != 1) {
    OPENSSL_cleanse(target, out.length - at);
    return refuse(env, "OpenSSL failed to encrypt");
  }
  return napi_get_undefined(env, &nothing) == napi_ok ? nothing : NULL;
}

static napi_value open_sealed(napi_env env, napi_callback_info info) {
  napi_value arguments[6], answer;
  size_t count = 6;
  struct bytes nonce, bound[2], sealed, out;
  uint8_t tag[TAG_BYTES], rest[TAG_BYTES];
  int written = 0;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 6) return refuse(env, "open takes six arguments");
  struct key *key = read_key(env, arguments[0]);
  if (key == NULL || key->context == NULL) return refuse(env, "the key was released, or is none");
  if (!read_bytes(env, arguments[1], &nonce) || !read_bytes(env, arguments[2], &bound[0]) ||
      !read_bytes(env, arguments[3], &bound[1]) || !read_bytes(env, arguments[4], &sealed) ||
      !read_bytes(env, arguments[5], &out))
    return refuse(env, "open takes bytes");
  if (nonce.length != NONCE_BYTES) return refuse(env, "a nonce has 12 bytes");
  if (sealed.length < TAG_BYTES || out.length != sealed.length - TAG_BYTES) return refuse(env, "the output has another length");
  memcpy(tag, sealed.data + out.length, TAG_BYTES);
  bool right = begin(key->context, false, &nonce, bound) &&
               EVP_CIPHER_CTX_ctrl(key->context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
               transform(key->context, out.data, sealed.data, out.length) &&
               EVP_CipherFinal_ex(key->context, rest, &written) == 1;
  /* SP 800-38D section 7.2: nothing of the text is given out where the tag is wrong. */
  if (!right && out.length > 0) OPENSSL_cleanse(out.data, out.length);
  return napi_get_boolean(env, right, &answer) == napi_ok ? answer : NULL;
}

static napi_value release(napi_env env, napi_callback_info info) {
  napi_value arguments[1], nothing;
  size_t count = 1;
  struct key *key = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 1 ||
      (key = read_key(env, arguments[0])) == NULL)
    return refuse(env, "release takes a key");
  release_context(key);
  return napi_get_undefined(env, &nothing) == napi_ok ? nothing : NULL;
}

static bool export(napi_env env, napi_value exports, const char *name, napi_callback function) {
  napi_value value;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value) == napi_ok &&
         napi_set_named_property(env, exports, name, value) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!export(env, exports, "make", make) || !export(env, exports, "seal", seal) ||
      !export(env, exports, "open", open_sealed) || !export(env, exports, "release", release))
    return NULL;
  return exports;
}
