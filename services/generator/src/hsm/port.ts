import type { KeyObject } from "node:crypto";
import type { SecretBytes } from "@claviger/secret-bytes";

/** Kinds of keys that live in the HSM while they are used. */
export type HsmKeyKind =
  | "aes-128"
  | "aes-192"
  | "aes-256"
  | "secret-32"
  | "secret-48"
  | "secret-64"
  | "ec-p256"
  | "ec-p384"
  | "ec-p521"
  | "rsa-2048"
  | "rsa-3072"
  | "rsa-4096";

/** The one thing that a key is let do there. */
export type HsmKeyUse = "encrypt" | "sign" | "decrypt" | "derive";

export interface HsmKeySpec {
  readonly kind: HsmKeyKind;
  readonly use: HsmKeyUse;
}

/** A key unwrapped into the HSM: it can be used there and read nowhere. */
export interface HsmKey extends HsmKeySpec {
  /** Of the sessions that it is in: after the HSM was away, it is no more. */
  readonly epoch: number;
  readonly handle: Buffer;
}

/** How a digest is signed. ECDSA signatures are r ‖ s here. */
export type HsmSignature =
  | { readonly kind: "ecdsa" }
  | { readonly kind: "rsa-pss"; readonly hash: "sha256" }
  | { readonly kind: "rsa-pkcs1"; readonly hash: "sha256" };

/** A token object that wraps a keyring's keys, by its CKA_ID. */
export type KeyringKeyId = string;

/** RFC 5649, and which recovery key opens it. */
export interface RecoveryWrap {
  recoveryWrap: Buffer;
  recoveryKey: string;
}

export interface GeneratedHsmKey {
  wrapped: Buffer;
  /** SubjectPublicKeyInfo in DER, for asymmetric kinds. */
  publicKey: Buffer | undefined;
}

/** What the generator asks of an HSM, and no more. Every failure is a DomainError of kind `unavailable` unless said. */
export interface Hsm extends AsyncDisposable {
  /** Product and firmware as the module reports them. */
  describe(): string;
  /** Called when the HSM is back after it was away: every key that was unwrapped is gone. */
  onReturn(listener: () => void): void;
  /** What the module lacks for such keys, as the end of a sentence; undefined where it has everything. */
  lacks(spec: HsmKeySpec): string | undefined;
  random(lengthBytes: number): Promise<Buffer>;

  /** A new keyring key, and its wrap under the recovery key, made before it became non-extractable. */
  generateKeyringKey(id: KeyringKeyId): Promise<RecoveryWrap>;
  /** Where the token has it no more, that is well. */
  destroyKeyringKey(id: KeyringKeyId): Promise<void>;
  /**
   * Wraps what is under one keyring key under another, inside the HSM; without a spec it is a secret of
   * `wrapSecret`. The result was found to open. @throws DomainError `integrity`
   */
  rewrap(
    keys: { from: KeyringKeyId; to: KeyringKeyId },
    spec: HsmKeySpec | undefined,
    wrapped: Uint8Array,
  ): Promise<Buffer>;

  /** Wraps bytes of the generator's own memory: keys with `software` protection. */
  wrapSecret(keyringKey: KeyringKeyId, secret: SecretBytes): Promise<Buffer>;
  /** @throws DomainError `integrity` where the wrap does not open. */
  unwrapSecret(keyringKey: KeyringKeyId, wrapped: Uint8Array): Promise<SecretBytes>;

  /** Makes a key in the HSM and wraps it: keys with `hsm` protection. */
  generateKey(keyringKey: KeyringKeyId, spec: HsmKeySpec): Promise<GeneratedHsmKey>;
  /** Unwraps into the HSM alone. @throws DomainError `integrity` */
  unwrapKey(keyringKey: KeyringKeyId, spec: HsmKeySpec, wrapped: Uint8Array): Promise<HsmKey>;
  /**
   * Wraps a key that was made elsewhere as one of the HSM's own: raw bytes of a symmetric key, PKCS #8 in DER of
   * another, from the generator's memory.
   */
  importKey(keyringKey: KeyringKeyId, spec: HsmKeySpec, material: SecretBytes): Promise<Buffer>;
  /** Takes such a key into the HSM alone, for a moment. */
  takeKey(spec: HsmKeySpec, material: SecretBytes): Promise<HsmKey>;
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
  signDigest(key: HsmKey, signature: HsmSignature, digest: Uint8Array): Promise<Buffer>;
  verifyDigest(
    publicKey: KeyObject,
    signature: HsmSignature,
    digest: Uint8Array,
    signed: Uint8Array,
  ): Promise<boolean>;
  mac(key: HsmKey, hash: "sha256" | "sha384" | "sha512", data: Uint8Array): Promise<Buffer>;
  /** ECDH (SP 800-56A Rev. 3 section 5.7.1.2): the x coordinate, as long as the field. */
  deriveSecret(key: HsmKey, peerPoint: Uint8Array, secretBytes: number): Promise<SecretBytes>;

  /** Wraps bytes so that only a quorum of the recovery key's custodians opens them again (RFC 5649). */
  wrapForRecovery(secret: SecretBytes): Promise<RecoveryWrap>;
  /** Names the recovery key that is in the HSM. */
  recoveryKey(): Promise<string>;
  /** HMAC-SHA-256 with the key that binds material. */
  bindingMac(data: Uint8Array): Promise<Buffer>;
}
