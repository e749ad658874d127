/** How often what is under way is looked at, as a share of what it is granted. */
const looksPerDeadline = 20;

/** One of many short works. */
export interface UnderWay {
  readonly endsAt: number;
  readonly giveUp: () => void;
}

/**
 * Grants each of many short works the same time, with one timer for all of them: one each costs as much as a
 * signature's own bookkeeping. A work that is late goes on, and nobody waits for it any more.
 */
export class Deadlines {
  readonly #milliseconds: number;
  /** In the order in which they began, which is that of their ends. */
  readonly #underWay = new Set<UnderWay>();
  #timer: NodeJS.Timeout | undefined;

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
  }

  /** `giveUp` is called where `end` was not, in time. */
  begin(giveUp: () => void): UnderWay {
    const work = { endsAt: performance.now() + this.#milliseconds, giveUp };
    this.#underWay.add(work);
    this.#timer ??= setInterval(() => this.#look(), Math.ceil(this.#milliseconds / looksPerDeadline));
    return work;
  }

  /** Whether anybody still waits for it. */
  end(work: UnderWay): boolean {
    return this.#underWay.delete(work);
  }

  #look(): void {
    const now = performance.now();
    for (const work of this.#underWay) {
      if (work.endsAt > now) return;
      this.#underWay.delete(work);
      work.giveUp();
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
