import { DomainError } from "@claviger/domain-error";

const inspect = Symbol.for("nodejs.util.inspect.custom");
const secretBytesMax = 1024 * 1024;

/**
 * Bytes that must not be seen. They lie in an `ArrayBuffer` of their own: a `Buffer` of 64 bytes or
 * less lies in the V8 heap, whose collector leaves copies behind. Dispose of them, best with `using`.
 */
export class SecretBytes implements Disposable {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #disposed = false;

  private constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Space for a secret of `length` bytes, zeroed, for a callee to fill. */
  static allocate(length: number): SecretBytes {
    if (!Number.isInteger(length) || length < 1 || length > secretBytesMax) {
      throw new DomainError("internal", `a secret of ${length} bytes is outside 1 to ${secretBytesMax}`);
    }
    return new SecretBytes(new Uint8Array(new ArrayBuffer(length)));
  }

  /** Takes the bytes over: `source` is zeroed. */
  static take(source: Uint8Array): SecretBytes {
    const secret = SecretBytes.allocate(source.length);
    secret.#bytes.set(source);
    source.fill(0);
    return secret;
  }

  /** Combines another source into this one by exclusive or, so that neither alone decides. */
  mix(other: SecretBytes): this {
    if (other.length !== this.length) {
      throw new DomainError("internal", `${other.length} bytes cannot be mixed into ${this.length}`);
    }
    const ours = this.expose();
    other.expose().forEach((byte, at) => {
      ours[at] = ours[at]! ^ byte;
    });
    return this;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** The bytes themselves, not a copy. Never keep a reference beyond this object's life. */
  expose(): Uint8Array<ArrayBuffer> {
    if (this.#disposed) throw new DomainError("internal", "a secret was used after it had been cleared");
    return this.#bytes;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#bytes.fill(0);
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): never {
    throw new DomainError("internal", "a secret was about to be serialised");
  }

  [inspect](): string {
    return "[redacted]";
  }
}
