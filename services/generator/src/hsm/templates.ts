import pkcs11 from "pkcs11js";
import type { HsmKeyKind } from "./port.ts";

/**
 * Every template in one place. Whoever holds the PIN could unwrap with a template of their own; in
 * Claviger nobody but this folder talks to the module, and these are the only templates it has.
 */

type Attributes = Readonly<Record<string, number | boolean | string | Buffer>>;

function template(attributes: Attributes): pkcs11.Template {
  const constants = pkcs11 as unknown as Record<string, number>;
  return Object.entries(attributes).map(([name, value]) => ({ type: constants[name]!, value }));
}

export const labels = {
  keyringKey: "claviger-keyring-key",
  recovery: "claviger-recovery",
  binding: "claviger-binding-mac",
};

const { CKK_AES, CKK_EC, CKK_GENERIC_SECRET, CKO_PRIVATE_KEY, CKO_SECRET_KEY } = pkcs11;

/** DER of the object identifier prime256v1. */
const p256Parameters = Buffer.from("06082a8648ce3d030107", "hex");

/** Made extractable for its one recovery wrap, then closed with `closed`. It wraps and unwraps, nothing else. */
export function keyringKey(id: string): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_VALUE_LEN: 32,
    CKA_TOKEN: true,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: true,
    CKA_EXTRACTABLE: true,
    CKA_ENCRYPT: false,
    CKA_DECRYPT: false,
    CKA_WRAP: true,
    CKA_UNWRAP: true,
    CKA_LABEL: labels.keyringKey,
    CKA_ID: Buffer.from(id, "utf8"),
  });
}

export const closed: pkcs11.Template = template({ CKA_EXTRACTABLE: false });

export function bindingMacKey(): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_GENERIC_SECRET,
    CKA_VALUE_LEN: 32,
    CKA_TOKEN: true,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: true,
    CKA_EXTRACTABLE: true,
    CKA_SIGN: true,
    CKA_VERIFY: true,
    CKA_LABEL: labels.binding,
  });
}

/** Wrap-only: what it wraps is opened outside the HSM alone, by a quorum of custodians. */
export function recoveryKey(value: Buffer): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_VALUE: value,
    CKA_TOKEN: true,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: true,
    CKA_EXTRACTABLE: false,
    CKA_ENCRYPT: false,
    CKA_DECRYPT: false,
    CKA_UNWRAP: false,
    CKA_WRAP: true,
    CKA_LABEL: labels.recovery,
  });
}

/** Bytes of our own memory, on their way into a wrap. */
export function secretToWrap(value: Buffer): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_GENERIC_SECRET,
    CKA_VALUE: value,
    CKA_TOKEN: false,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: true,
    CKA_EXTRACTABLE: true,
  });
}

/** The one template that lets a value out: keys with `software` protection are used by OpenSSL. */
export const secretToRead: pkcs11.Template = template({
  CKA_CLASS: CKO_SECRET_KEY,
  CKA_KEY_TYPE: CKK_GENERIC_SECRET,
  CKA_TOKEN: false,
  CKA_PRIVATE: true,
  CKA_SENSITIVE: false,
  CKA_EXTRACTABLE: true,
});

const session = { CKA_TOKEN: false, CKA_PRIVATE: true, CKA_SENSITIVE: true } as const;

/** Keys born in the HSM are extractable for their wrap, and destroyed there at once. */
export const generatedAesKey: pkcs11.Template = template({
  CKA_CLASS: CKO_SECRET_KEY,
  CKA_KEY_TYPE: CKK_AES,
  CKA_VALUE_LEN: 32,
  ...session,
  CKA_EXTRACTABLE: true,
});
export const generatedP256Public: pkcs11.Template = template({
  CKA_TOKEN: false,
  CKA_VERIFY: true,
  CKA_EC_PARAMS: p256Parameters,
});
export const generatedP256Private: pkcs11.Template = template({
  ...session,
  CKA_EXTRACTABLE: true,
  CKA_SIGN: true,
});

/** Keys in use: they can be neither read nor wrapped. */
export const keyInUse: Readonly<Record<HsmKeyKind, pkcs11.Template>> = {
  "aes-256": template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    ...session,
    CKA_EXTRACTABLE: false,
    CKA_ENCRYPT: true,
    CKA_DECRYPT: true,
  }),
  "ec-p256": template({
    CKA_CLASS: CKO_PRIVATE_KEY,
    CKA_KEY_TYPE: CKK_EC,
    ...session,
    CKA_EXTRACTABLE: false,
    CKA_SIGN: true,
  }),
};

export function byLabel(label: string): pkcs11.Template {
  return template({ CKA_CLASS: CKO_SECRET_KEY, CKA_LABEL: label });
}

export function byKeyringKeyId(id: string): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_LABEL: labels.keyringKey,
    CKA_ID: Buffer.from(id, "utf8"),
  });
}
