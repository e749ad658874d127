import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { ByteReader } from "./byte-reader.ts";

/**
 * A stream sealed in chunks, so that neither side holds more of it than one: the STREAM construction (Hoang,
 * Reyhanitabar, Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance",
 * CRYPTO 2015) over AES-256-GCM. A nonce is a counter of 11 bytes and a byte that marks the last chunk; the key is
 * used for one stream alone. What was cut off, swapped, or added is found out. docs/formats.md has the layout.
 */
const chunkBytes = 65_536;
const tagBytes = 16;
const nonceBytes = 12;

/** `header` goes before the chunks as it is, and is bound to each of them. */
export async function* sealStream(
  key: Uint8Array,
  header: Uint8Array,
  plaintext: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer> {
  const chunks = new ChunkCipher(key, header);
  yield Buffer.from(header);
  const reader = new ByteReader(plaintext);
  for (let last = false; !last; ) {
    const chunk = await reader.read(chunkBytes);
    last = await reader.ended();
    yield chunks.seal(chunk, last);
  }
}

/**
 * What `sealStream` sealed, after its header, which has been read from `reader` already.
 * @throws DomainError `integrity` at the first chunk that is not what was sealed
 */
export async function* openStream(
  key: Uint8Array,
  header: Uint8Array,
  reader: ByteReader,
): AsyncGenerator<Buffer> {
  const chunks = new ChunkCipher(key, header);
  for (let last = false; !last; ) {
    const chunk = await reader.read(chunkBytes + tagBytes);
    last = await reader.ended();
    yield chunks.open(chunk, last);
  }
}

class ChunkCipher {
  readonly #key: KeyObject;
  readonly #bound: Buffer;
  #count = 0;

  constructor(key: Uint8Array, header: Uint8Array) {
    this.#key = createSecretKey(key);
    this.#bound = createHash("sha256").update(header).digest();
  }

  seal(chunk: Uint8Array, last: boolean): Buffer {
    const cipher = createCipheriv("aes-256-gcm", this.#key, this.#nextNonce(last));
    cipher.setAAD(this.#bound);
    return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
  }

  open(sealed: Buffer, last: boolean): Buffer {
    const number = this.#count;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, this.#nextNonce(last), {
      authTagLength: tagBytes,
    });
    try {
      decipher.setAAD(this.#bound).setAuthTag(sealed.subarray(-tagBytes));
      return Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]);
    } catch (cause) {
      throw new DomainError(
        "integrity",
        `the backup is damaged, or was changed, near byte ${number * chunkBytes}`,
        {
          hint: "take another copy of it",
          cause,
        },
      );
    }
  }

  #nextNonce(last: boolean): Buffer {
    const nonce = Buffer.alloc(nonceBytes);
    nonce.writeUIntBE(this.#count, nonceBytes - 7, 6);
    nonce.writeUInt8(last ? 1 : 0, nonceBytes - 1);
    this.#count += 1;
    return nonce;
  }
}
