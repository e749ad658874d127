/** Wakes whoever waits for a group's next key; each also looks by itself now and then. */
export class GroupSignal {
  readonly #waiting = new Map<string, Set<() => void>>();

  wake(group: string): void {
    const waiting = this.#waiting.get(group);
    this.#waiting.delete(group);
    for (const end of waiting ?? []) end();
  }

  /** An event of a group; one that cannot be read wakes everybody. */
  hear(event: Uint8Array): void {
    try {
      const { subject } = JSON.parse(Buffer.from(event).toString("utf8")) as { subject?: unknown };
      if (typeof subject === "string") {
        this.wake(subject);
        return;
      }
    } catch {
      // As below.
    }
    for (const group of [...this.#waiting.keys()]) this.wake(group);
  }

  /** Resolves at the next wake of the group, after `milliseconds`, or when `signal` fires. */
  wait(group: string, milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        const waiting = this.#waiting.get(group);
        waiting?.delete(end);
        if (waiting?.size === 0) this.#waiting.delete(group);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      const waiting = this.#waiting.get(group) ?? new Set();
      this.#waiting.set(group, waiting.add(end));
      signal.addEventListener("abort", end, { once: true });
    });
  }
}

/** Runs at most so many at a time; the others wait in their order. */
export function createGate(atOnceMax: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const queue: (() => void)[] = [];
  return async (work) => {
    if (running >= atOnceMax) await new Promise<void>((resolve) => queue.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      // The place goes to the next in the queue, where there is one.
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
