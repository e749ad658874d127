/** What anybody on the network may have the HSM sign, for a second and at once. */
export class SigningBudget {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #atOnceMax: number;
  #tokens: number;
  #countedAt = performance.now();
  #underWay = 0;

  constructor(options: { perSecond: number; burst: number; atOnceMax: number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
    this.#atOnceMax = options.atOnceMax;
    this.#tokens = options.burst;
  }

  /** Runs `work`, or does not where the budget is spent. */
  async spend<T>(work: () => Promise<T>): Promise<T | undefined> {
    const now = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#countedAt) / 1000) * this.#perSecond);
    this.#countedAt = now;
    if (this.#tokens < 1 || this.#underWay >= this.#atOnceMax) return undefined;
    this.#tokens -= 1;
    this.#underWay += 1;
    try {
      return await work();
    } finally {
      this.#underWay -= 1;
    }
  }
}
