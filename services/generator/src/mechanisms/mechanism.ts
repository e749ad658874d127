import type { SecretBytes } from "@claviger/secret-bytes";

type Eventually<T> = Promise<T> | T;

/**
 * What the secret part of a loaded version can do, whatever its protection. A mechanism has the
 * operations of its key's algorithm. Synchronous where OpenSSL does it in little time.
 */
export interface KeyMechanism {
  /**
   * AES-GCM with a 96-bit nonce: header ‖ ciphertext ‖ 16-byte tag. The header and the associated data are
   * bound, in this order.
   */
  seal?(
    header: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
  ): Eventually<Buffer>;
  /** `sealed` is ciphertext ‖ tag. @throws DomainError `integrity` */
  open?(
    header: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    sealed: Uint8Array,
  ): Eventually<Buffer>;
  /** RSAES-OAEP (RFC 8017 section 7.1.2). @throws DomainError `integrity`, always with the same words */
  openOaep?(label: Uint8Array, ciphertext: Uint8Array): Eventually<Buffer>;
  /**
   * A signature over the message, as docs/formats.md encodes it for the algorithm; `context` is for
   * those that have one (FIPS 204, FIPS 205).
   */
  sign?(message: Uint8Array, context?: Uint8Array): Eventually<Uint8Array>;
  /** The same over a digest that the caller made with the algorithm's hash. */
  signDigest?(digest: Uint8Array): Promise<Uint8Array>;
  mac?(message: Uint8Array): Eventually<Buffer>;
  /** The shared secret with a peer's public key, SubjectPublicKeyInfo in DER. */
  agree?(peer: Uint8Array): Eventually<SecretBytes>;
  decapsulate?(ciphertext: Uint8Array): Eventually<SecretBytes>;
  /** AES-KWP (RFC 5649). */
  wrap?(secret: SecretBytes): Eventually<Buffer>;
  /** @throws DomainError `integrity` */
  unwrap?(wrapped: Uint8Array): Eventually<SecretBytes>;
  /** Ends the mechanism: nothing of the key stays with us. */
  destroy(): void;
}
