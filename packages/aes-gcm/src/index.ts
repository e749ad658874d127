import { createRequire } from "node:module";
import { DomainError } from "@claviger/domain-error";

type Handle = { readonly handle: unique symbol };

interface Native {
  make(key: Uint8Array): Handle;
  seal(
    key: Handle,
    nonce: Uint8Array,
    header: Uint8Array,
    associatedData: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    at: number,
  ): void;
  open(
    key: Handle,
    nonce: Uint8Array,
    header: Uint8Array,
    associatedData: Uint8Array,
    sealed: Uint8Array,
    out: Uint8Array,
  ): boolean;
  release(key: Handle): void;
}

const tagBytes = 16;
let loaded: Native | undefined;

function native(): Native {
  try {
    loaded ??= createRequire(import.meta.url)("../native/build/Release/aes_gcm.node") as Native;
    return loaded;
  } catch (cause) {
    throw new DomainError("unavailable", "the native part of AES-GCM is not there", {
      hint: "npm start and npm test compile it; by hand: npm run native",
      cause,
    });
  }
}

/**
 * An AES key of 16, 24 or 32 bytes, expanded in OpenSSL's memory outside the V8 heap, for AES-GCM
 * (SP 800-38D) with 96-bit nonces and 128-bit tags. Disposing of it clears it at once. The bytes it is made
 * of stay the caller's to clear.
 */
export class AesGcmKey implements Disposable {
  #handle: Handle | undefined;

  constructor(key: Uint8Array) {
    this.#handle = native().make(key);
  }

  /**
   * header ‖ ciphertext ‖ tag. The header and the associated data are authenticated, in this order; a nonce is
   * used once with a key, and that is the caller's to see to.
   */
  seal(header: Uint8Array, nonce: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Buffer {
    const whole = Buffer.allocUnsafe(header.length + plaintext.length + tagBytes);
    whole.set(header);
    native().seal(this.#present, nonce, header, associatedData, plaintext, whole, header.length);
    return whole;
  }

  /** What `sealed`, ciphertext ‖ tag, was made of; undefined where the tag is wrong. */
  open(
    header: Uint8Array,
    nonce: Uint8Array,
    associatedData: Uint8Array,
    sealed: Uint8Array,
  ): Buffer | undefined {
    if (sealed.length < tagBytes) return undefined;
    // In memory of its own: what is cleared later is then all of it.
    const plaintext = Buffer.from(new ArrayBuffer(sealed.length - tagBytes));
    const right = native().open(this.#present, nonce, header, associatedData, sealed, plaintext);
    return right ? plaintext : undefined;
  }

  get #present(): Handle {
    if (this.#handle === undefined) {
      throw new DomainError("internal", "a key was used after it had been destroyed");
    }
    return this.#handle;
  }

  [Symbol.dispose](): void {
    if (this.#handle === undefined) return;
    native().release(this.#handle);
    this.#handle = undefined;
  }
}
