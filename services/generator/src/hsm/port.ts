import type { SecretBytes } from "@claviger/secret-bytes";

/** Kinds of keys that live in the HSM while they are used. */
export type HsmKeyKind = "aes-256" | "ec-p256";

/** A key unwrapped into the HSM: it can be used there and read nowhere. */
export interface HsmKey {
  readonly kind: HsmKeyKind;
  readonly handle: Buffer;
}

/** A token object that wraps a keyring's keys, by its CKA_ID. */
export type KeyringKeyId = string;

export interface GeneratedHsmKey {
  wrapped: Buffer;
  /** The uncompressed point, for asymmetric kinds. */
  publicPoint: Buffer | undefined;
}

/** What the generator asks of an HSM, and no more. Every failure is a DomainError of kind `unavailable` unless said. */
export interface Hsm extends AsyncDisposable {
  /** Product and firmware as the module reports them. */
  describe(): string;
  random(lengthBytes: number): Promise<Buffer>;

  /** A new keyring key, and its wrap under the recovery key, made before it became non-extractable. */
  generateKeyringKey(id: KeyringKeyId): Promise<{ recoveryWrap: Buffer }>;
  destroyKeyringKey(id: KeyringKeyId): Promise<void>;

  /** Wraps bytes of the generator's own memory: keys with `software` protection. */
  wrapSecret(keyringKey: KeyringKeyId, secret: SecretBytes): Promise<Buffer>;
  /** @throws DomainError `integrity` where the wrap does not open. */
  unwrapSecret(keyringKey: KeyringKeyId, wrapped: Uint8Array): Promise<SecretBytes>;

  /** Makes a key in the HSM and wraps it: keys with `hsm` protection. */
  generateKey(keyringKey: KeyringKeyId, kind: HsmKeyKind): Promise<GeneratedHsmKey>;
  /** Unwraps into the HSM alone. @throws DomainError `integrity` */
  unwrapKey(keyringKey: KeyringKeyId, kind: HsmKeyKind, wrapped: Uint8Array): Promise<HsmKey>;
  destroyKey(key: HsmKey): Promise<void>;

  /** AES-256-GCM with a 96-bit nonce; the result is ciphertext ‖ 16-byte tag. */
  sealAesGcm(
    key: HsmKey,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Promise<Buffer>;
  /** @throws DomainError `integrity` where the tag does not fit. */
  openAesGcm(key: HsmKey, nonce: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): Promise<Buffer>;
  /** ECDSA over a digest; r ‖ s. */
  signDigest(key: HsmKey, digest: Uint8Array): Promise<Buffer>;

  /** HMAC-SHA-256 with the key that binds material. */
  bindingMac(data: Uint8Array): Promise<Buffer>;
}
