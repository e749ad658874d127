import pkcs11 from "pkcs11js";
import type { HsmSignature } from "./port.ts";

export const tagBytes = 16;

/** DER of DigestInfo around a SHA-256 digest (RFC 8017 section 9.2, note 1). */
const sha256DigestInfo = Buffer.from("3031300d060960864801650304020105000420", "hex");
const hmacs = {
  sha256: pkcs11.CKM_SHA256_HMAC,
  sha384: pkcs11.CKM_SHA384_HMAC,
  sha512: pkcs11.CKM_SHA512_HMAC,
};
export const keyWrap: pkcs11.Mechanism = { mechanism: pkcs11.CKM_AES_KEY_WRAP_PAD };

export function gcm(nonce: Uint8Array, associatedData: Uint8Array): pkcs11.Mechanism {
  return {
    mechanism: pkcs11.CKM_AES_GCM,
    parameter: {
      type: pkcs11.CK_PARAMS_AES_GCM,
      iv: asBuffer(nonce),
      ivBits: nonce.length * 8,
      aad: asBuffer(associatedData),
      tagBits: tagBytes * 8,
    } as unknown as Buffer,
  };
}

/** The mechanism for a digest, and what it is given. */
export function digestSignature(
  signature: HsmSignature,
  digest: Uint8Array,
): { mechanism: pkcs11.Mechanism; input: Buffer } {
  if (signature.kind === "ecdsa") {
    return { mechanism: { mechanism: pkcs11.CKM_ECDSA }, input: asBuffer(digest) };
  }
  if (signature.kind === "rsa-pkcs1") {
    const input = Buffer.concat([sha256DigestInfo, digest]);
    return { mechanism: { mechanism: pkcs11.CKM_RSA_PKCS }, input };
  }
  const parameter = {
    type: pkcs11.CK_PARAMS_RSA_PSS,
    hashAlg: pkcs11.CKM_SHA256,
    mgf: pkcs11.CKG_MGF1_SHA256,
    saltLen: 32,
  } as unknown as Buffer;
  return { mechanism: { mechanism: pkcs11.CKM_RSA_PKCS_PSS, parameter }, input: asBuffer(digest) };
}

export function hmac(hash: keyof typeof hmacs): pkcs11.Mechanism {
  return { mechanism: hmacs[hash] };
}

/** HMAC-SHA-256 with a key of the token's. */
export function hmacWith(module: pkcs11.PKCS11, session: Buffer, key: Buffer): (data: Uint8Array) => Buffer {
  return (data) => {
    module.C_SignInit(session, hmac("sha256"), key);
    return module.C_Sign(session, asBuffer(data), Buffer.alloc(64));
  };
}

export function ecdh(peerPoint: Uint8Array): pkcs11.Mechanism {
  const parameter = {
    type: pkcs11.CK_PARAMS_EC_DH,
    kdf: pkcs11.CKD_NULL,
    publicData: asBuffer(peerPoint),
  } as unknown as Buffer;
  return { mechanism: pkcs11.CKM_ECDH1_DERIVE, parameter };
}

/** The same bytes, as the module wants to see them. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
