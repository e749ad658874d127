import { DomainError } from "@claviger/domain-error";

export interface BoundedWorkOptions {
  atOnceMax: number;
  /** Whoever would wait longer than this is refused, and told when to come back. */
  waitMillisecondsMax: number;
  waitingMax: number;
}

/** How much of what was measured last goes into the average. */
const smoothing = 0.1;
const firstGuessMilliseconds = 50;

/**
 * Work in turn, so much of it at once. A burst waits here, in front of the database's connections, and what
 * would wait for longer than its caller does is refused at once.
 */
export class BoundedWork {
  readonly #options: BoundedWorkOptions;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #averageMilliseconds = firstGuessMilliseconds;

  constructor(options: BoundedWorkOptions) {
    this.#options = options;
  }

  /** @throws DomainError `exhausted`, with when to try again */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { atOnceMax, waitingMax, waitMillisecondsMax } = this.#options;
    if (this.#underWay >= atOnceMax) {
      const waitMilliseconds = (this.#waiting.length * this.#averageMilliseconds) / atOnceMax;
      if (this.#waiting.length >= waitingMax || waitMilliseconds > waitMillisecondsMax) {
        throw tooMuch(Math.max(1, Math.ceil(waitMilliseconds / 1000)));
      }
      // Whoever ends hands its place on: the count stays.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#underWay += 1;
    const began = performance.now();
    try {
      return await work();
    } finally {
      this.#averageMilliseconds += smoothing * (performance.now() - began - this.#averageMilliseconds);
      const next = this.#waiting.shift();
      if (next === undefined) this.#underWay -= 1;
      else next();
    }
  }
}

function tooMuch(retryAfterSeconds: number): DomainError {
  return new DomainError("exhausted", "this service has more requests than it can take now", {
    hint: `try again in ${retryAfterSeconds} s`,
    retryAfterSeconds,
  });
}
