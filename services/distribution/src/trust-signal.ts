import { DomainError } from "@claviger/domain-error";
import type { Authorities } from "./authorities.ts";

const watchersMax = 20_000;
/** A watcher looks again this often, should a wake-up get lost. */
const lookAgainMilliseconds = 30_000;

export interface BundleMessage {
  trustBundle: string;
  sequence: bigint;
  spreadSeconds: number;
}

/** Of all who watch, as many come in a second at most. */
const comersPerSecond = 200;

/** Tells everybody who watches of each change of the CAs. */
export class TrustSignal {
  readonly #authorities: Authorities;
  readonly #wakers = new Set<() => void>();
  #watchers = 0;
  #closed = false;

  constructor(authorities: Authorities) {
    this.#authorities = authorities;
    authorities.onChange(() => this.#wakeAll());
  }

  /** The bundle now, and again whenever it changes or who signs does. */
  async *watch(signal: AbortSignal): AsyncGenerator<BundleMessage> {
    if (this.#watchers >= watchersMax) {
      throw new DomainError("exhausted", "this replica serves as many watchers as it may", {
        hint: "ask for the bundle now and then instead: GetTrustBundle, or /v1/bundle.pem",
      });
    }
    this.#watchers += 1;
    try {
      for (let sent = -1; !signal.aborted && !this.#closed; ) {
        const { sequence, trustBundle } = this.#authorities.current;
        if (sequence !== sent) {
          sent = sequence;
          const spreadSeconds = Math.floor(this.#watchers / comersPerSecond);
          yield { trustBundle, sequence: BigInt(sequence), spreadSeconds };
        }
        if (this.#authorities.current.sequence === sent) await this.#wake(signal);
      }
    } finally {
      this.#watchers -= 1;
    }
  }

  /** Ends every stream: this process is about to. */
  close(): void {
    this.#closed = true;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const wake of this.#wakers) wake();
  }

  #wake(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#wakers.delete(end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, lookAgainMilliseconds);
      this.#wakers.add(end);
      signal.addEventListener("abort", end, { once: true });
      if (this.#closed || signal.aborted) end();
    });
  }
}
