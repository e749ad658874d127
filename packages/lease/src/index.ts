export interface LeaseCacheOptions<V> {
  /** How long an answer holds, from the moment of asking. */
  leaseMilliseconds: number;
  /** Past it, the entry used longest ago goes. */
  entriesMax: number;
  /** Milliseconds that never go back; `performance.now` unless a test says otherwise. */
  monotonicNow?: () => number;
  /** Called once for each value that leaves the cache, to destroy what it holds. */
  onRelease?: (value: V) => void;
}

interface Entry<V> {
  value: V;
  askedAt: number;
  leaseMilliseconds: number;
}

/**
 * A bounded cache of answers that somebody else may take back. An entry holds for its lease and no
 * longer; `invalidate` ends it early, and also keeps an answer that was on its way from being kept.
 */
export class LeaseCache<V> {
  readonly #options: LeaseCacheOptions<V>;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry<V>>();
  readonly #pending = new Map<string, Promise<V>>();
  #epoch = 0;

  constructor(options: LeaseCacheOptions<V>) {
    this.#options = options;
    this.#now = options.monotonicNow ?? (() => performance.now());
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value if its lease holds, without asking anybody. */
  peek(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#now() - entry.askedAt >= entry.leaseMilliseconds) return undefined;
    this.#touch(key, entry);
    return entry.value;
  }

  /** Most recently used last: a Map keeps insertion order. While there is room nobody asks for the order. */
  #touch(key: string, entry: Entry<V>): void {
    if (this.#entries.size < this.#options.entriesMax / 2) return;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
  }

  /**
   * The cached value, or what `load` brings. Callers that ask for one key at the same time share
   * one `load`. `leaseOf` may shorten the lease of a value (0 keeps it not at all).
   */
  async get(key: string, load: () => Promise<V>, leaseOf?: (value: V) => number): Promise<V> {
    const cached = this.peek(key);
    if (cached !== undefined) return cached;
    return this.#loadOnce(key, load, leaseOf);
  }

  /**
   * Asks again although `held` holds, and puts the answer into its place. Where there is none, `held` stays: what it
   * permits later, it still permits then.
   */
  async renew(key: string, held: V, load: () => Promise<V>): Promise<void> {
    if (this.peek(key) === held) await this.#loadOnce(key, load);
  }

  async #loadOnce(key: string, load: () => Promise<V>, leaseOf?: (value: V) => number): Promise<V> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const loading = this.#load(key, load, leaseOf).finally(() => {
      if (this.#pending.get(key) === loading) this.#pending.delete(key);
    });
    this.#pending.set(key, loading);
    return loading;
  }

  async #load(key: string, load: () => Promise<V>, leaseOf?: (value: V) => number): Promise<V> {
    const askedAt = this.#now();
    const epoch = this.#epoch;
    const value = await load();
    const leaseMilliseconds = Math.min(
      leaseOf?.(value) ?? this.#options.leaseMilliseconds,
      this.#options.leaseMilliseconds,
    );
    if (epoch === this.#epoch && leaseMilliseconds > 0) {
      this.#set(key, { value, askedAt, leaseMilliseconds });
    } else {
      this.#releaseLater(value);
    }
    return value;
  }

  /** What is not kept is still about to be used by whoever asked: it is released a lease later. */
  #releaseLater(value: V): void {
    const { leaseMilliseconds, onRelease } = this.#options;
    if (onRelease !== undefined) setTimeout(() => onRelease(value), leaseMilliseconds).unref();
  }

  #set(key: string, entry: Entry<V>): void {
    const previous = this.#entries.get(key);
    this.#entries.delete(key);
    if (previous !== undefined && previous.value !== entry.value) this.#options.onRelease?.(previous.value);
    this.#entries.set(key, entry);
    while (this.#entries.size > this.#options.entriesMax) {
      const oldest = this.#entries.entries().next().value;
      if (oldest === undefined) break;
      this.#remove(oldest[0], oldest[1]);
    }
  }

  #remove(key: string, entry: Entry<V>): void {
    this.#entries.delete(key);
    this.#options.onRelease?.(entry.value);
  }

  /** Ends one entry, because its holder wants to ask again. */
  drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#remove(key, entry);
  }

  /** Ends every entry that `concerns` picks; all of them without it. */
  invalidate(concerns?: (key: string) => boolean): void {
    this.#epoch += 1;
    this.#pending.clear();
    for (const [key, entry] of [...this.#entries]) {
      if (concerns === undefined || concerns(key)) this.#remove(key, entry);
    }
  }

  /** Ends what has outlived its lease; call it now and then, so that nothing lingers in memory. */
  sweep(): void {
    const now = this.#now();
    for (const [key, entry] of [...this.#entries]) {
      if (now - entry.askedAt >= entry.leaseMilliseconds) this.#remove(key, entry);
    }
  }
}
