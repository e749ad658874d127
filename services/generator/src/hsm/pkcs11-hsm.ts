import { DomainError, isDomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import pkcs11 from "pkcs11js";
import type { GeneratedHsmKey, Hsm, HsmKey, HsmKeyKind, KeyringKeyId } from "./port.ts";
import { findToken, isPkcs11, loadModule, type Session, SessionPool, type TokenOptions } from "./sessions.ts";
import * as templates from "./templates.ts";
import { padSecret, unpadSecret } from "./wrapped-secret.ts";

const wrap = { mechanism: pkcs11.CKM_AES_KEY_WRAP_PAD };
const wrappedBytesMax = 64 * 1024;
const tagBytes = 16;
const macBytes = 32;
const uncompressedPointBytes = 65;

/** Opens the token that the ceremony made. @throws DomainError `unavailable` */
export function openPkcs11Hsm(options: TokenOptions & { pin: string }): Hsm {
  const module = loadModule(options.modulePath);
  const slot = findToken(module, options.tokenLabel);
  if (slot === undefined) {
    throw new DomainError("unavailable", `there is no HSM token named ${options.tokenLabel}`, {
      hint: "`claviger init` makes it; if it was there, see that the token directory still is",
    });
  }
  return new Pkcs11Hsm(module, slot, options.pin);
}

class Pkcs11Hsm implements Hsm {
  readonly #module: pkcs11.PKCS11;
  readonly #pool: SessionPool;
  readonly #description: string;
  /** Handles of token objects stay valid; finding them costs milliseconds among many. */
  readonly #handles = new Map<string, Buffer>();

  constructor(module: pkcs11.PKCS11, slot: Buffer, pin: string) {
    this.#module = module;
    this.#pool = new SessionPool(module, slot, pin);
    const token = module.C_GetTokenInfo(slot);
    const { major, minor } = token.firmwareVersion;
    this.#description = `${token.model.replaceAll("\0", " ").trim()} ${major}.${minor}`;
  }

  describe(): string {
    return this.#description;
  }

  async random(lengthBytes: number): Promise<Buffer> {
    return this.#run(async (session) => this.#module.C_GenerateRandom(session, Buffer.alloc(lengthBytes)));
  }

  async generateKeyringKey(id: KeyringKeyId): Promise<{ recoveryWrap: Buffer }> {
    return this.#run(async (session) => {
      const key = await this.#module.C_GenerateKeyAsync(
        session,
        { mechanism: pkcs11.CKM_AES_KEY_GEN },
        templates.keyringKey(id),
      );
      try {
        const recovery = this.#object(
          session,
          templates.labels.recovery,
          templates.byLabel(templates.labels.recovery),
        );
        const recoveryWrap = this.#module.C_WrapKey(session, wrap, recovery, key, Buffer.alloc(128));
        this.#module.C_SetAttributeValue(session, key, templates.closed);
        this.#handles.set(id, key);
        return { recoveryWrap };
      } catch (error) {
        this.#module.C_DestroyObject(session, key);
        throw error;
      }
    });
  }

  async destroyKeyringKey(id: KeyringKeyId): Promise<void> {
    await this.#run((session) => {
      this.#module.C_DestroyObject(session, this.#keyringKey(session, id));
      this.#handles.delete(id);
    });
  }

  async wrapSecret(keyringKey: KeyringKeyId, secret: SecretBytes): Promise<Buffer> {
    using padded = padSecret(secret);
    return this.#run(async (session) => {
      const object = this.#module.C_CreateObject(session, templates.secretToWrap(asBuffer(padded.expose())));
      try {
        const wrapping = this.#keyringKey(session, keyringKey);
        return await this.#module.C_WrapKeyAsync(
          session,
          wrap,
          wrapping,
          object,
          Buffer.alloc(wrappedBytesMax),
        );
      } finally {
        this.#module.C_DestroyObject(session, object);
      }
    });
  }

  async unwrapSecret(keyringKey: KeyringKeyId, wrapped: Uint8Array): Promise<SecretBytes> {
    return this.#run(async (session) => {
      const object = await this.#unwrap(session, keyringKey, wrapped, templates.secretToRead);
      try {
        // Space of our own, outside the V8 heap, that we can clear.
        using padded = SecretBytes.allocate(wrapped.length);
        const [attribute] = this.#module.C_GetAttributeValue(session, object, [
          { type: pkcs11.CKA_VALUE, value: asBuffer(padded.expose()) },
        ]);
        using value = SecretBytes.take(attribute!.value as unknown as Buffer);
        return unpadSecret(value);
      } finally {
        this.#module.C_DestroyObject(session, object);
      }
    });
  }

  async generateKey(keyringKey: KeyringKeyId, kind: HsmKeyKind): Promise<GeneratedHsmKey> {
    return this.#run(async (session) => {
      const wrapping = this.#keyringKey(session, keyringKey);
      const { publicKey, secret } = await this.#generate(session, kind);
      try {
        const wrapped = await this.#module.C_WrapKeyAsync(
          session,
          wrap,
          wrapping,
          secret,
          Buffer.alloc(1024),
        );
        return { wrapped, publicPoint: publicKey && this.#publicPoint(session, publicKey) };
      } finally {
        this.#module.C_DestroyObject(session, secret);
        if (publicKey !== undefined) this.#module.C_DestroyObject(session, publicKey);
      }
    });
  }

  async #generate(session: Session, kind: HsmKeyKind): Promise<{ secret: Buffer; publicKey?: Buffer }> {
    if (kind === "aes-256") {
      const mechanism = { mechanism: pkcs11.CKM_AES_KEY_GEN };
      return { secret: await this.#module.C_GenerateKeyAsync(session, mechanism, templates.generatedAesKey) };
    }
    const pair = await this.#module.C_GenerateKeyPairAsync(
      session,
      { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
      templates.generatedP256Public,
      templates.generatedP256Private,
    );
    return { secret: pair.privateKey, publicKey: pair.publicKey };
  }

  /** CKA_EC_POINT is the point inside a DER OCTET STRING (PKCS#11 v3.0, 2.3.3). */
  #publicPoint(session: Session, publicKey: Buffer): Buffer {
    const [attribute] = this.#module.C_GetAttributeValue(session, publicKey, [{ type: pkcs11.CKA_EC_POINT }]);
    const value = attribute!.value as unknown as Buffer;
    const point = value.subarray(value.length - uncompressedPointBytes);
    if (value.length !== uncompressedPointBytes + 2 || value[0] !== 0x04 || point[0] !== 0x04) {
      throw new DomainError("integrity", "the HSM made a public key of an unknown shape");
    }
    return Buffer.from(point);
  }

  async unwrapKey(keyringKey: KeyringKeyId, kind: HsmKeyKind, wrapped: Uint8Array): Promise<HsmKey> {
    return this.#run(async (session) => ({
      kind,
      handle: await this.#unwrap(session, keyringKey, wrapped, templates.keyInUse[kind]),
    }));
  }

  async destroyKey(key: HsmKey): Promise<void> {
    await this.#run((session) => this.#module.C_DestroyObject(session, key.handle));
  }

  async sealAesGcm(
    key: HsmKey,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Promise<Buffer> {
    return this.#run(async (session) => {
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
    return this.#run(async (session) => {
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

  async signDigest(key: HsmKey, digest: Uint8Array): Promise<Buffer> {
    return this.#run(async (session) => {
      this.#module.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key.handle);
      return this.#module.C_SignAsync(session, asBuffer(digest), Buffer.alloc(256));
    });
  }

  async bindingMac(data: Uint8Array): Promise<Buffer> {
    return this.#run(async (session) => {
      const label = templates.labels.binding;
      const key = this.#object(session, label, templates.byLabel(label));
      this.#module.C_SignInit(session, { mechanism: pkcs11.CKM_SHA256_HMAC }, key);
      return this.#module.C_SignAsync(session, asBuffer(data), Buffer.alloc(macBytes));
    });
  }

  async #unwrap(
    session: Session,
    keyringKey: KeyringKeyId,
    wrapped: Uint8Array,
    template: pkcs11.Template,
  ): Promise<Buffer> {
    const wrapping = this.#keyringKey(session, keyringKey);
    try {
      return await this.#module.C_UnwrapKeyAsync(session, wrap, wrapping, asBuffer(wrapped), template);
    } catch (cause) {
      throw new DomainError("integrity", "wrapped material does not open with its keyring's key", { cause });
    }
  }

  #keyringKey(session: Session, id: KeyringKeyId): Buffer {
    return this.#object(session, id, templates.byKeyringKeyId(id));
  }

  #object(session: Session, name: string, template: pkcs11.Template): Buffer {
    const known = this.#handles.get(name);
    if (known !== undefined) return known;
    this.#module.C_FindObjectsInit(session, template);
    const found = this.#module.C_FindObjects(session, 2);
    this.#module.C_FindObjectsFinal(session);
    if (found.length !== 1) {
      throw new DomainError(
        "unavailable",
        `the HSM has ${found.length} objects for ${name}, and one is wanted`,
        {
          hint: "if the token was replaced, restore from a backup",
        },
      );
    }
    this.#handles.set(name, found[0]!);
    return found[0]!;
  }

  async #run<T>(work: (session: Session) => Promise<T> | T): Promise<T> {
    try {
      return await this.#pool.use(work);
    } catch (error) {
      if (isDomainError(error)) throw error;
      throw new DomainError("unavailable", "the HSM failed an operation", { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#handles.clear();
    // Ends every session, and with them every session object: no unwrapped key outlives this.
    this.#module.C_Finalize();
  }
}

function gcm(nonce: Uint8Array, associatedData: Uint8Array): pkcs11.Mechanism {
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

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
