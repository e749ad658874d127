/** Reads a stream by the byte counts that its reader asks for, and keeps no more of it than that. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** That many bytes, or what there is where the stream ends before. */
  async read(count: number): Promise<Buffer> {
    await this.#fill(count);
    const [first] = this.#waiting;
    // What lies in one piece is not copied, nor is what comes after it.
    const enough = first !== undefined && first.length >= count ? first : Buffer.concat(this.#waiting);
    const rest = enough === first ? this.#waiting.slice(1) : [];
    const taken = enough.subarray(0, count);
    this.#waiting = enough.length > count ? [enough.subarray(count), ...rest] : rest;
    this.#waitingBytes -= taken.length;
    return taken;
  }

  /** Whether nothing comes any more. */
  async ended(): Promise<boolean> {
    await this.#fill(1);
    return this.#waitingBytes === 0;
  }

  async #fill(count: number): Promise<void> {
    while (this.#waitingBytes < count && !this.#ended) {
      const { done, value } = await this.#source.next();
      if (done) this.#ended = true;
      else if (value.length > 0) {
        this.#waiting.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
        this.#waitingBytes += value.length;
      }
    }
  }
}
