import pkcs11 from "pkcs11js";
import type { HsmKeyKind, HsmKeySpec, HsmKeyUse } from "./port.ts";

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

/** Made extractable for its one recovery wrap, then closed with `closed`. It wraps and unwraps, nothing else. */
export function keyringKey(id: string): pkcs11.Template {
  return template({ ...keyringKeyForm(id), CKA_VALUE_LEN: 32, CKA_EXTRACTABLE: true });
}

/** The same, out of its recovery wrap: closed from the beginning. */
export function restoredKeyringKey(id: string): pkcs11.Template {
  return template({ ...keyringKeyForm(id), CKA_EXTRACTABLE: false });
}

function keyringKeyForm(id: string): Attributes {
  return {
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_TOKEN: true,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: true,
    CKA_ENCRYPT: false,
    CKA_DECRYPT: false,
    CKA_WRAP: true,
    CKA_UNWRAP: true,
    CKA_LABEL: labels.keyringKey,
    CKA_ID: Buffer.from(id, "utf8"),
  };
}

export const closed: pkcs11.Template = template({ CKA_EXTRACTABLE: false });

export function bindingMacKey(): pkcs11.Template {
  return template({ ...bindingMacKeyForm, CKA_VALUE_LEN: 32, CKA_EXTRACTABLE: true });
}

export function restoredBindingMacKey(): pkcs11.Template {
  return template({ ...bindingMacKeyForm, CKA_EXTRACTABLE: false });
}

const bindingMacKeyForm: Attributes = {
  CKA_CLASS: CKO_SECRET_KEY,
  CKA_KEY_TYPE: CKK_GENERIC_SECRET,
  CKA_TOKEN: true,
  CKA_PRIVATE: true,
  CKA_SENSITIVE: true,
  CKA_SIGN: true,
  CKA_VERIFY: true,
  CKA_LABEL: labels.binding,
};

/** Wrap-only: what it wraps is opened outside the HSM alone, by a quorum of custodians. */
export function recoveryKey(value: Buffer, id: string): pkcs11.Template {
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
    CKA_ID: Buffer.from(id, "utf8"),
  });
}

/** Nothing: that there was something to write is what counts. */
export const notice: pkcs11.Template = template({
  CKA_CLASS: pkcs11.CKO_DATA,
  CKA_TOKEN: true,
  CKA_PRIVATE: true,
  CKA_LABEL: "claviger-notice",
  CKA_VALUE: Buffer.alloc(1),
});

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

/** What is under one keyring key, on its way under another: it is neither read nor used. */
export function toRewrap(spec: HsmKeySpec | undefined): pkcs11.Template {
  if (spec === undefined) {
    const form = { CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_GENERIC_SECRET };
    return template({ ...form, ...session, CKA_EXTRACTABLE: true });
  }
  return template({ ...classOf(spec.kind), ...session, CKA_EXTRACTABLE: true });
}

const session = { CKA_TOKEN: false, CKA_PRIVATE: true, CKA_SENSITIVE: true } as const;

const aesBytes = { "aes-128": 16, "aes-192": 24, "aes-256": 32 } as const;
const secretBytes = { "secret-32": 32, "secret-48": 48, "secret-64": 64 } as const;
const modulusBits = { "rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096 } as const;
/** DER of the curves' object identifiers (RFC 5480 section 2.1.1.1). */
export const curveParameters = {
  "ec-p256": Buffer.from("06082a8648ce3d030107", "hex"),
  "ec-p384": Buffer.from("06052b81040022", "hex"),
  "ec-p521": Buffer.from("06052b81040023", "hex"),
} as const;

/** What a spec is in PKCS#11's terms. */
export type KeyForm =
  | { shape: "secret"; generate: number; template: pkcs11.Template }
  | { shape: "pair"; generate: number; publicTemplate: pkcs11.Template; privateTemplate: pkcs11.Template };

const uses: Record<HsmKeyUse, Attributes> = {
  encrypt: { CKA_ENCRYPT: true, CKA_DECRYPT: true },
  sign: { CKA_SIGN: true },
  decrypt: { CKA_DECRYPT: true },
  derive: { CKA_DERIVE: true },
};
const { CKK_RSA, CKM_AES_KEY_GEN, CKM_EC_KEY_PAIR_GEN, CKM_GENERIC_SECRET_KEY_GEN } = pkcs11;
const publicExponent = Buffer.from([1, 0, 1]);

/** Keys born in the HSM are extractable for their wrap, and destroyed there at once. */
export function generated({ kind, use }: HsmKeySpec): KeyForm {
  const secret = { CKA_CLASS: CKO_SECRET_KEY, ...session, CKA_EXTRACTABLE: true };
  const privateTemplate = template({ ...session, CKA_EXTRACTABLE: true, ...uses[use] });
  if (isKey(aesBytes, kind)) {
    const attributes = { ...secret, CKA_KEY_TYPE: CKK_AES, CKA_VALUE_LEN: aesBytes[kind] };
    return { shape: "secret", generate: CKM_AES_KEY_GEN, template: template(attributes) };
  }
  if (isKey(secretBytes, kind)) {
    const attributes = { ...secret, CKA_KEY_TYPE: CKK_GENERIC_SECRET, CKA_VALUE_LEN: secretBytes[kind] };
    return { shape: "secret", generate: CKM_GENERIC_SECRET_KEY_GEN, template: template(attributes) };
  }
  if (isKey(curveParameters, kind)) {
    const publicTemplate = template({
      CKA_TOKEN: false,
      CKA_VERIFY: true,
      CKA_EC_PARAMS: curveParameters[kind],
    });
    return { shape: "pair", generate: CKM_EC_KEY_PAIR_GEN, publicTemplate, privateTemplate };
  }
  const publicTemplate = template({
    CKA_TOKEN: false,
    CKA_VERIFY: true,
    CKA_MODULUS_BITS: modulusBits[kind],
    CKA_PUBLIC_EXPONENT: publicExponent,
  });
  return { shape: "pair", generate: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, publicTemplate, privateTemplate };
}

/** Keys in use: they can be neither read nor wrapped, and do the one thing that they are for. */
export function keyInUse({ kind, use }: HsmKeySpec): pkcs11.Template {
  return template({ ...classOf(kind), ...session, CKA_EXTRACTABLE: false, ...uses[use] });
}

function classOf(kind: HsmKeyKind): Attributes {
  if (isKey(aesBytes, kind)) return { CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES };
  if (isKey(secretBytes, kind)) return { CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_GENERIC_SECRET };
  return { CKA_CLASS: CKO_PRIVATE_KEY, CKA_KEY_TYPE: isKey(curveParameters, kind) ? CKK_EC : CKK_RSA };
}

function isKey<K extends string>(of: Readonly<Record<K, unknown>>, kind: string): kind is K {
  return Object.hasOwn(of, kind);
}

/** A key that carries another's PKCS #8 across, out of our memory and into the HSM, once. */
export function transportKey(value: Buffer): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_AES,
    CKA_VALUE: value,
    ...session,
    CKA_EXTRACTABLE: false,
    CKA_UNWRAP: true,
  });
}

/** What an agreement yields: read at once, for it goes sealed to whoever asked. */
export function agreedSecret(length: number): pkcs11.Template {
  return template({
    CKA_CLASS: CKO_SECRET_KEY,
    CKA_KEY_TYPE: CKK_GENERIC_SECRET,
    CKA_VALUE_LEN: length,
    CKA_TOKEN: false,
    CKA_PRIVATE: true,
    CKA_SENSITIVE: false,
    CKA_EXTRACTABLE: true,
  });
}

export function ecPublicKey(parameters: Buffer, point: Buffer): pkcs11.Template {
  // CKA_EC_POINT is the point inside a DER OCTET STRING (PKCS#11 v3.0, 2.3.3).
  const length = point.length < 128 ? [point.length] : [0x81, point.length];
  return template({
    CKA_CLASS: pkcs11.CKO_PUBLIC_KEY,
    CKA_KEY_TYPE: CKK_EC,
    CKA_TOKEN: false,
    CKA_VERIFY: true,
    CKA_EC_PARAMS: parameters,
    CKA_EC_POINT: Buffer.concat([Buffer.from([0x04, ...length]), point]),
  });
}

export function rsaPublicKey(modulus: Buffer, exponent: Buffer): pkcs11.Template {
  return template({
    CKA_CLASS: pkcs11.CKO_PUBLIC_KEY,
    CKA_KEY_TYPE: CKK_RSA,
    CKA_TOKEN: false,
    CKA_VERIFY: true,
    CKA_MODULUS: modulus,
    CKA_PUBLIC_EXPONENT: exponent,
  });
}

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
