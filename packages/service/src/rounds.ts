export interface RoundsOptions {
  everyMilliseconds: number;
  /** One piece of work; resolves to whether there may be more of it right now. */
  work: () => Promise<boolean>;
  /** What waits when a round fails, such as "purging waits". */
  waiting: string;
  onTrouble: (what: string) => void;
}

/** Work that comes round: each round does pieces until nothing is left, and rounds never overlap. */
export class Rounds implements AsyncDisposable {
  readonly #options: RoundsOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #busy = false;
  #poked = false;
  #closed = false;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#schedule(options.everyMilliseconds);
  }

  /** Does not wait for the next round, or lets one follow the one that is running. */
  poke(): void {
    this.#poked = true;
    if (!this.#busy && !this.#closed) this.#schedule(0);
  }

  #schedule(afterMilliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#busy = true;
      this.#poked = false;
      this.#running = this.#round().finally(() => {
        this.#busy = false;
        if (!this.#closed) this.#schedule(this.#poked ? 0 : this.#options.everyMilliseconds);
      });
    }, afterMilliseconds);
  }

  async #round(): Promise<void> {
    try {
      while (!this.#closed && (await this.#options.work())) {
        // Until nothing is left.
      }
    } catch (error) {
      this.#options.onTrouble(`${this.#options.waiting}: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
