import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { AesGcmKey } from "@claviger/aes-gcm";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { HashName } from "../algorithms.ts";
import { KeyHolder } from "./key-holder.ts";
import type { KeyMechanism } from "./mechanism.ts";

/** RFC 5649 section 3: the first half of KWP's initial value. */
const kwpPrefix = Buffer.from("a65959a6", "hex");
const kwpBlockBytes = 8;

export function aesGcm(secret: SecretBytes): KeyMechanism {
  const key = new AesGcmKey(secret.expose());
  return {
    seal: (header, nonce, associatedData, plaintext) => key.seal(header, nonce, associatedData, plaintext),
    open(header, nonce, associatedData, sealed) {
      const plaintext = key.open(header, nonce, associatedData, sealed);
      if (plaintext !== undefined) return plaintext;
      throw new DomainError("integrity", "the ciphertext or its associated data was changed");
    },
    destroy: () => key[Symbol.dispose](),
  };
}

export function hmac(secret: SecretBytes, hash: HashName): KeyMechanism {
  const key = new KeyHolder(createSecretKey(secret.expose()));
  return {
    mac: (message) => createHmac(hash, key.present).update(message).digest(),
    destroy: () => key.drop(),
  };
}

export function aesKwp(secret: SecretBytes): KeyMechanism {
  const key = new KeyHolder(createSecretKey(secret.expose()));
  return {
    wrap: (material) => kwpWrap(key.present, material.expose()),
    unwrap: (wrapped) => kwpUnwrap(key.present, wrapped),
    destroy: () => key.drop(),
  };
}

/** RFC 5649 section 4.1, with an AES-256 key. */
export function kwpWrap(key: KeyObject | Uint8Array, material: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap-pad", key, kwpPrefix);
  return Buffer.concat([cipher.update(material), cipher.final()]);
}

/** @throws DomainError `integrity` */
export function kwpUnwrap(key: KeyObject | Uint8Array, wrapped: Uint8Array): SecretBytes {
  if (wrapped.length < 2 * kwpBlockBytes || wrapped.length % kwpBlockBytes !== 0) throw unwrapRefused();
  try {
    const decipher = createDecipheriv("id-aes256-wrap-pad", key, kwpPrefix);
    const opened = decipher.update(wrapped);
    decipher.final();
    return SecretBytes.take(opened);
  } catch (cause) {
    throw unwrapRefused(cause);
  }
}

function unwrapRefused(cause?: unknown): DomainError {
  return new DomainError("integrity", "the wrapped key was changed, or was wrapped with another key", {
    cause,
  });
}
