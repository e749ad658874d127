/** How often what is under way is looked at, as a share of what it is granted. */
const looksPerDeadline = 20;

interface UnderWay {
  endsAt: number;
  giveUp: () => void;
}

/**
 * Grants each of many short works the same time, with one timer for all of them: one each costs as much as a
 * signature's own bookkeeping. A work that is late goes on, and nobody waits for it any more.
 */
export class Deadlines {
  readonly #milliseconds: number;
  readonly #late: () => Error;
  /** In the order in which they began, which is that of their ends. */
  readonly #underWay = new Set<UnderWay>();
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, late: () => Error) {
    this.#milliseconds = milliseconds;
    this.#late = late;
  }

  /** As `work`; rejects with what `late` made where it takes too long. */
  within<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry: UnderWay = {
        endsAt: performance.now() + this.#milliseconds,
        giveUp: () => reject(this.#late()),
      };
      this.#underWay.add(entry);
      this.#timer ??= setInterval(() => this.#look(), Math.ceil(this.#milliseconds / looksPerDeadline));
      work.then(
        (value) => {
          this.#underWay.delete(entry);
          resolve(value);
        },
        (error: unknown) => {
          this.#underWay.delete(entry);
          reject(error);
        },
      );
    });
  }

  #look(): void {
    const now = performance.now();
    for (const entry of this.#underWay) {
      if (entry.endsAt > now) return;
      this.#underWay.delete(entry);
      entry.giveUp();
    }
    // Nothing has been under way for a while.
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Forgets everything: nobody waits any more. */
  close(): void {
    this.#underWay.clear();
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
