import type { KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import type pkcs11 from "pkcs11js";
import { type ConnectionOptions, HsmConnection } from "./connection.ts";
import { generateIn, generateKeyringKeyIn } from "./generating.ts";
import { asBuffer, digestSignature, ecdh, gcm, hmac, tagBytes } from "./mechanism-parameters.ts";
import { readSecret, takeIn, verifyInHsm } from "./passing-objects.ts";
import type {
  GeneratedHsmKey,
  Hsm,
  HsmKey,
  HsmKeySpec,
  HsmSignature,
  KeyringKeyId,
  RecoveryWrap,
} from "./port.ts";
import { publicKeyTemplate, readPublicKey } from "./public-keys.ts";
import { currentRecoveryObject } from "./recovery-key.ts";
import { describeToken, isPkcs11, loadModule, type Session, type TokenOptions } from "./sessions.ts";
import * as templates from "./templates.ts";
import type { TokenObjects } from "./token-objects.ts";
import { createCapabilities } from "./vendor-profile.ts";
import { padSecret, unpadSecret } from "./wrapped-secret.ts";
import { rewrap, unwrap, wrap, wrapBytes } from "./wrapping.ts";

const macBytesMax = 64;
/** Of RSA with 4096 bits. */
const signatureBytesMax = 512;

/** `module`, where it is not the one at `modulePath` as it is. */
export type Pkcs11HsmOptions = TokenOptions & Omit<ConnectionOptions, "module"> & { module?: pkcs11.PKCS11 };

/** Opens the token that the ceremony made. @throws DomainError `unavailable` */
export function openPkcs11Hsm(options: Pkcs11HsmOptions): Hsm {
  const module = options.module ?? loadModule(options.modulePath);
  return new Pkcs11Hsm(module, new HsmConnection({ ...options, module }));
}

class Pkcs11Hsm implements Hsm {
  readonly #module: pkcs11.PKCS11;
  readonly #connection: HsmConnection;
  readonly #description: string;
  readonly lacks: (spec: HsmKeySpec) => string | undefined;

  constructor(module: pkcs11.PKCS11, connection: HsmConnection) {
    this.#module = module;
    this.#connection = connection;
    const { slot } = connection;
    const { description, manufacturer } = describeToken(module, slot);
    this.#description = description;
    this.lacks = createCapabilities({ manufacturer, mechanisms: module.C_GetMechanismList(slot) });
  }

  onReturn(listener: () => void): void {
    this.#connection.onReturn(listener);
  }

  describe(): string {
    return this.#description;
  }

  async random(lengthBytes: number): Promise<Buffer> {
    return this.#run(async (session) => this.#module.C_GenerateRandom(session, Buffer.alloc(lengthBytes)));
  }

  async generateKeyringKey(id: KeyringKeyId): Promise<RecoveryWrap> {
    return this.#run(async (session, objects) => {
      const { key, ...made } = await generateKeyringKeyIn(this.#module, session, id);
      objects.remember(id, key);
      return made;
    });
  }

  async destroyKeyringKey(id: KeyringKeyId): Promise<void> {
    await this.#run((session, objects) => {
      const there = objects.findKeyringKey(session, id);
      if (there !== undefined) this.#module.C_DestroyObject(session, there);
    });
  }

  async rewrap(
    keys: { from: KeyringKeyId; to: KeyringKeyId },
    spec: HsmKeySpec | undefined,
    wrapped: Uint8Array,
  ): Promise<Buffer> {
    return this.#run((session, objects) => {
      const [from, to] = [objects.keyringKey(session, keys.from), objects.keyringKey(session, keys.to)];
      return rewrap(this.#module, session, { from, to }, wrapped, templates.toRewrap(spec));
    });
  }

  async wrapSecret(keyringKey: KeyringKeyId, secret: SecretBytes): Promise<Buffer> {
    using padded = padSecret(secret); // Awaited here: where all sessions are busy, it is wanted only later.
    return await this.#run((session, objects) =>
      wrapBytes(this.#module, session, objects.keyringKey(session, keyringKey), padded),
    );
  }

  async wrapForRecovery(secret: SecretBytes): Promise<RecoveryWrap> {
    return this.#run(async (session) => {
      const { handle, id } = currentRecoveryObject(this.#module, session);
      return {
        recoveryWrap: await wrapBytes(this.#module, session, handle, secret),
        recoveryKey: id,
      };
    });
  }

  async recoveryKey(): Promise<string> {
    return this.#run((session) => currentRecoveryObject(this.#module, session).id);
  }

  async unwrapSecret(keyringKey: KeyringKeyId, wrapped: Uint8Array): Promise<SecretBytes> {
    return this.#run(async (session, objects) => {
      const object = await this.#unwrap(session, objects, keyringKey, wrapped, templates.secretToRead);
      try {
        using padded = readSecret(this.#module, session, object);
        return unpadSecret(padded);
      } finally {
        this.#module.C_DestroyObject(session, object);
      }
    });
  }

  async generateKey(keyringKey: KeyringKeyId, spec: HsmKeySpec): Promise<GeneratedHsmKey> {
    return this.#run(async (session, objects) => {
      const wrapping = objects.keyringKey(session, keyringKey);
      const made = await generateIn(this.#module, session, spec);
      try {
        const wrapped = await wrap(this.#module, session, wrapping, made.secret);
        const publicKey = made.publicKey && readPublicKey(this.#module, session, made.publicKey, spec.kind);
        return { wrapped, publicKey };
      } finally {
        this.#module.C_DestroyObject(session, made.secret);
        if (made.publicKey !== undefined) this.#module.C_DestroyObject(session, made.publicKey);
      }
    });
  }

  async unwrapKey(keyringKey: KeyringKeyId, spec: HsmKeySpec, wrapped: Uint8Array): Promise<HsmKey> {
    return this.#run(async (session, objects) => {
      const { epoch } = this.#connection;
      const inUse = templates.keyInUse(spec);
      return { ...spec, epoch, handle: await this.#unwrap(session, objects, keyringKey, wrapped, inUse) };
    });
  }

  async importKey(keyringKey: KeyringKeyId, spec: HsmKeySpec, material: SecretBytes): Promise<Buffer> {
    return this.#run(async (session, objects) => {
      const wrapping = objects.keyringKey(session, keyringKey);
      const object = await takeIn(this.#module, session, material, spec, templates.toRewrap(spec));
      try {
        return await wrap(this.#module, session, wrapping, object);
      } finally {
        this.#module.C_DestroyObject(session, object);
      }
    });
  }

  async takeKey(spec: HsmKeySpec, material: SecretBytes): Promise<HsmKey> {
    return this.#run(async (session) => {
      const { epoch } = this.#connection;
      const inUse = templates.keyInUse(spec);
      return { ...spec, epoch, handle: await takeIn(this.#module, session, material, spec, inUse) };
    });
  }

  async destroyKey(key: HsmKey): Promise<void> {
    // What was in sessions that ended is gone already.
    if (key.epoch !== this.#connection.epoch) return;
    await this.#runWith(key, (session) => this.#module.C_DestroyObject(session, key.handle));
  }

  async sealAesGcm(
    key: HsmKey,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Promise<Buffer> {
    return this.#runWith(key, async (session) => {
      this.#module.C_EncryptInit(session, gcm(nonce, associatedData), key.handle);
      const out = Buffer.alloc(plaintext.length + tagBytes);
      // SoftHSM refuses an empty one-part input; the final part alone yields the tag.
      if (plaintext.length === 0) return this.#module.C_EncryptFinal(session, out);
      return this.#module.C_EncryptAsync(session, asBuffer(plaintext), out);
    });
  }

  async openAesGcm(
    key: HsmKey,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    sealed: Uint8Array,
  ): Promise<Buffer> {
    return this.#runWith(key, async (session) => {
      this.#module.C_DecryptInit(session, gcm(nonce, associatedData), key.handle);
      try {
        return await this.#module.C_DecryptAsync(session, asBuffer(sealed), Buffer.alloc(sealed.length));
      } catch (error) {
        // A bad tag is CKR_ENCRYPTED_DATA_INVALID by the standard and CKR_GENERAL_ERROR in SoftHSM.
        if (isPkcs11(error, "CKR_ENCRYPTED_DATA") || isPkcs11(error, "CKR_GENERAL_ERROR")) {
          throw new DomainError("integrity", "the ciphertext or its associated data was changed", {
            cause: error,
          });
        }
        throw error;
      }
    });
  }

  signDigest(key: HsmKey, signature: HsmSignature, digest: Uint8Array): Promise<Buffer> {
    const { input, mechanism } = digestSignature(signature, digest);
    return this.#runWith(key, (session) => {
      this.#module.C_SignInit(session, mechanism, key.handle);
      return this.#module.C_SignAsync(session, input, Buffer.allocUnsafe(signatureBytesMax));
    });
  }

  async verifyDigest(
    publicKey: KeyObject,
    signature: HsmSignature,
    digest: Uint8Array,
    signed: Uint8Array,
  ): Promise<boolean> {
    const [template, how] = [publicKeyTemplate(publicKey), digestSignature(signature, digest)];
    return this.#run((session) => verifyInHsm(this.#module, session, template, how, signed));
  }

  async mac(key: HsmKey, hash: "sha256" | "sha384" | "sha512", data: Uint8Array): Promise<Buffer> {
    return this.#runWith(key, async (session) => {
      this.#module.C_SignInit(session, hmac(hash), key.handle);
      return this.#module.C_SignAsync(session, asBuffer(data), Buffer.alloc(macBytesMax));
    });
  }

  async deriveSecret(key: HsmKey, peerPoint: Uint8Array, secretBytes: number): Promise<SecretBytes> {
    return this.#runWith(key, async (session) => {
      const object = await this.#module.C_DeriveKeyAsync(
        session,
        ecdh(peerPoint),
        key.handle,
        templates.agreedSecret(secretBytes),
      );
      try {
        return readSecret(this.#module, session, object);
      } finally {
        this.#module.C_DestroyObject(session, object);
      }
    });
  }

  async bindingMac(data: Uint8Array): Promise<Buffer> {
    return this.#run(async (session, objects) => {
      const key = objects.labelled(session, templates.labels.binding);
      this.#module.C_SignInit(session, hmac("sha256"), key);
      return this.#module.C_SignAsync(session, asBuffer(data), Buffer.alloc(macBytesMax));
    });
  }

  async #unwrap(
    session: Session,
    objects: TokenObjects,
    keyringKey: KeyringKeyId,
    wrapped: Uint8Array,
    template: pkcs11.Template,
  ): Promise<Buffer> {
    return unwrap(this.#module, session, objects.keyringKey(session, keyringKey), wrapped, template);
  }

  #run<T>(work: (session: Session, objects: TokenObjects) => Promise<T> | T): Promise<T> {
    return this.#connection.run(work);
  }

  /** With a key that was unwrapped, if the sessions that it was in are still there. */
  #runWith<T>(key: HsmKey, work: (session: Session) => Promise<T> | T): Promise<T> {
    return this.#connection.run((session) => {
      this.#connection.requireCurrent(key.epoch);
      return work(session);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Ends every session, and with them every session object: no unwrapped key outlives this.
    this.#connection.close();
    this.#module.C_Finalize();
  }
}
