import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { KeyCondition } from "@claviger/lifecycle";
import type { SecretBytes } from "@claviger/secret-bytes";
import { ecdsaRawToDer } from "@claviger/x509";
import type { Algorithm, Protection } from "./algorithms.ts";
import { tagBytes } from "./ciphertext.ts";
import type { Hsm, HsmKey } from "./hsm/port.ts";

/** What a loaded version can do, whatever its protection. Synchronous where OpenSSL does it. */
export interface KeyMechanism {
  seal?(nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Promise<Buffer> | Buffer;
  /** @throws DomainError `integrity` */
  open?(nonce: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Promise<Buffer> | Buffer;
  /** DER ECDSA-Sig-Value over SHA-256 of the message. */
  sign?(message: Uint8Array): Promise<Uint8Array> | Uint8Array;
  /** Ends the mechanism: nothing of the key stays with us. */
  destroy(): void;
}

export interface KeyFacts {
  name: string;
  id: string;
  idBytes: Buffer;
  version: number;
  algorithm: Algorithm;
  protection: Protection;
  condition: KeyCondition;
  /** DER; empty for symmetric keys. */
  subjectPublicKeyInfo: Buffer;
}

/**
 * A version that is ready for use. It is destroyed when the cache has let go of it and the last
 * operation has ended, whichever comes later.
 */
export class UsableKey {
  readonly facts: KeyFacts;
  /** When storage was asked for it, on the monotonic clock. */
  readonly askedAt: number;
  readonly #mechanism: KeyMechanism;
  readonly #publicKey: KeyObject | undefined;
  #users = 0;
  #released = false;

  constructor(facts: KeyFacts, mechanism: KeyMechanism, askedAt: number) {
    this.facts = facts;
    this.askedAt = askedAt;
    this.#mechanism = mechanism;
    this.#publicKey =
      facts.subjectPublicKeyInfo.length === 0
        ? undefined
        : createPublicKey({ key: facts.subjectPublicKeyInfo, format: "der", type: "spki" });
  }

  async use<T>(work: (mechanism: KeyMechanism) => Promise<T> | T): Promise<T> {
    this.#users += 1;
    try {
      return await work(this.#mechanism);
    } finally {
      this.#users -= 1;
      this.#destroyWhenIdle();
    }
  }

  verify(message: Uint8Array, signature: Uint8Array): boolean {
    if (this.#publicKey === undefined)
      throw new DomainError("internal", "a key without a public half was asked to verify");
    return verify("sha256", message, { key: this.#publicKey, dsaEncoding: "der" }, signature);
  }

  /** The cache lets go. */
  release(): void {
    this.#released = true;
    this.#destroyWhenIdle();
  }

  #destroyWhenIdle(): void {
    if (this.#released && this.#users === 0) this.#mechanism.destroy();
  }
}

/** OpenSSL with a key in this process's memory, held by a KeyObject outside the V8 heap. */
export function softwareMechanism(algorithm: Algorithm, secret: SecretBytes): KeyMechanism {
  if (algorithm === "aes-256-gcm") return softwareAesGcm(secret);
  let key: KeyObject | undefined = createPrivateKey({
    key: asBuffer(secret.expose()),
    format: "der",
    type: "pkcs8",
  });
  return {
    sign: (message) => sign("sha256", message, { key: present(key), dsaEncoding: "der" }),
    destroy() {
      key = undefined;
    },
  };
}

function softwareAesGcm(secret: SecretBytes): KeyMechanism {
  let key: KeyObject | undefined = createSecretKey(secret.expose());
  return {
    seal(nonce, associatedData, plaintext) {
      const cipher = createCipheriv("aes-256-gcm", present(key), nonce, { authTagLength: tagBytes });
      cipher.setAAD(associatedData);
      const body = cipher.update(plaintext);
      cipher.final();
      return Buffer.concat([body, cipher.getAuthTag()]);
    },
    open(nonce, associatedData, sealed) {
      const decipher = createDecipheriv("aes-256-gcm", present(key), nonce, { authTagLength: tagBytes });
      decipher.setAAD(associatedData);
      decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
      const plaintext = decipher.update(sealed.subarray(0, sealed.length - tagBytes));
      try {
        decipher.final();
      } catch (cause) {
        plaintext.fill(0);
        throw new DomainError("integrity", "the ciphertext or its associated data was changed", { cause });
      }
      return plaintext;
    },
    destroy() {
      key = undefined;
    },
  };
}

/** Every operation happens in the HSM. */
export function hsmMechanism(hsm: Hsm, key: HsmKey, onTrouble: (error: unknown) => void): KeyMechanism {
  const destroy = (): void => {
    hsm.destroyKey(key).catch(onTrouble);
  };
  if (key.kind === "aes-256") {
    return {
      seal: (nonce, associatedData, plaintext) => hsm.sealAesGcm(key, nonce, associatedData, plaintext),
      open: (nonce, associatedData, sealed) => hsm.openAesGcm(key, nonce, associatedData, sealed),
      destroy,
    };
  }
  return {
    // Hashed here: SoftHSM has no CKM_ECDSA_SHA256.
    sign: async (message) =>
      ecdsaRawToDer(await hsm.signDigest(key, createHash("sha256").update(message).digest())),
    destroy,
  };
}

function present<T>(key: T | undefined): T {
  if (key === undefined) throw new DomainError("internal", "a key was used after it had been destroyed");
  return key;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
