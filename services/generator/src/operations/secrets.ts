import { hkdfSync } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { type SealContext, type SealedSecret, sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import type { MixedRandom } from "../key-material.ts";
import type { KeyStore } from "../key-store.ts";
import { encapsulateTo } from "../mechanisms/public-key.ts";
import type { UsableKey } from "../usable-key.ts";
import { sealItem } from "./encryption.ts";
import { checkSize, publicKeyBytesMax, wrappedKeyBytesMax } from "./limits.ts";

/** Operations whose answer is a secret: it leaves sealed to whoever asked, and no other way. */

const dataKeyBytes = 32;
const derivedBytesMax = 1024;
const hkdfInputBytesMax = 1024;

/** Whom an answer is sealed to, and for what. */
export interface Recipient {
  publicKey: Uint8Array;
  method: string;
}

function contextOf({ facts: { name, version } }: UsableKey, { method }: Recipient): SealContext {
  return { method, name, version };
}

/** A fresh data key under a key that encrypts or wraps, and sealed to the recipient where there is one. */
export async function generateDataKey(
  keys: KeyStore,
  random: MixedRandom,
  { associatedData, name }: { name: string; associatedData: Uint8Array },
  recipient: Recipient | undefined,
): Promise<{ encryptedKey: Buffer; sealedKey?: SealedSecret; version: number }> {
  using secret = await random(dataKeyBytes);
  const { key, value: encryptedKey } = await keys.protect(
    name,
    ["encrypt", "wrap"],
    1,
    (mechanism, current) => {
      const plaintext = secret.expose();
      if (current.facts.scheme.kind !== "aes-kwp")
        return sealItem(current, mechanism, { plaintext, associatedData });
      if (associatedData.length === 0) return mechanism.wrap!(secret);
      throw new DomainError("invalid-argument", "AES-KWP binds no associated data", {
        hint: "use a key for aes-256-gcm",
      });
    },
  );
  const { version } = key.facts;
  if (recipient === undefined) return { encryptedKey, version };
  return {
    encryptedKey,
    version,
    sealedKey: await sealSecret(recipient.publicKey, contextOf(key, recipient), secret),
  };
}

/** An exportable key's material, wrapped with another key. */
export async function wrapMaterial(
  keys: KeyStore,
  name: string,
  material: SecretBytes,
): Promise<{ wrappedKey: Buffer; version: number }> {
  const { key, value } = await keys.protect(name, ["wrap"], 1, (mechanism) => mechanism.wrap!(material));
  return { wrappedKey: value, version: key.facts.version };
}

export async function unwrapKey(
  key: UsableKey,
  wrapped: Uint8Array,
  recipient: Recipient,
): Promise<SealedSecret> {
  checkSize(wrapped, wrappedKeyBytesMax, "wrapped key");
  using secret = await key.use((mechanism) => mechanism.unwrap!(wrapped));
  return await sealSecret(recipient.publicKey, contextOf(key, recipient), secret);
}

export interface Derivation {
  /** 0: the agreed secret itself. */
  lengthBytes: number;
  salt: Uint8Array;
  info: Uint8Array;
}

export async function agreeSecret(
  key: UsableKey,
  peer: Uint8Array,
  derivation: Derivation,
  recipient: Recipient,
): Promise<SealedSecret> {
  checkSize(peer, publicKeyBytesMax, "peer's public key");
  checkDerivation(derivation);
  using agreed = await key.use((mechanism) => mechanism.agree!(peer));
  const context = contextOf(key, recipient);
  if (derivation.lengthBytes === 0) return await sealSecret(recipient.publicKey, context, agreed);
  const { info, lengthBytes, salt } = derivation;
  using derived = SecretBytes.take(
    new Uint8Array(hkdfSync("sha256", agreed.expose(), salt, info, lengthBytes)),
  );
  return await sealSecret(recipient.publicKey, context, derived);
}

function checkDerivation({ info, lengthBytes, salt }: Derivation): void {
  if (lengthBytes > derivedBytesMax) {
    throw new DomainError("invalid-argument", `at most ${derivedBytesMax} bytes are derived at a time`);
  }
  checkSize(salt, hkdfInputBytesMax, "salt");
  checkSize(info, hkdfInputBytesMax, "info");
  if (lengthBytes === 0 && salt.length + info.length > 0) {
    throw new DomainError("invalid-argument", "salt and info are for a derivation, and length_bytes is zero");
  }
}

export async function encapsulateSecret(
  key: UsableKey,
  recipient: Recipient,
): Promise<{ encapsulation: Buffer; sealedSecret: SealedSecret }> {
  const { ciphertext, sharedSecret } = encapsulateTo(key.publicKey);
  using secret = sharedSecret;
  const sealedSecret = await sealSecret(recipient.publicKey, contextOf(key, recipient), secret);
  return { encapsulation: ciphertext, sealedSecret };
}

export async function decapsulateSecret(
  key: UsableKey,
  encapsulation: Uint8Array,
  recipient: Recipient,
): Promise<SealedSecret> {
  checkSize(encapsulation, publicKeyBytesMax, "encapsulation");
  using secret = await key.use((mechanism) => mechanism.decapsulate!(encapsulation));
  return await sealSecret(recipient.publicKey, contextOf(key, recipient), secret);
}
