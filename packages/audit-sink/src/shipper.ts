import type { Bus } from "@claviger/bus";
import { type Bundle, bundle } from "./bundling.ts";
import type { SpoolFile } from "./spool-file.ts";
import type { SequenceRange } from "./spool-protocol.ts";

export interface ShipperOptions {
  file: SpoolFile;
  service: string;
  auditKey: Uint8Array;
  bus: Bus;
  onTrouble?: (what: string) => void;
}

/** Of the spool, at a time: each has what one commit kept. */
const rowsMax = 64;
const idleMilliseconds = 1000;
/** Between two looks at the spool: what is kept meanwhile goes together. */
const pauseMilliseconds = 50;
const retryMilliseconds = 250;
/** A bundle that the log has not confirmed by then is sent again; the log takes each record once. */
const confirmationMilliseconds = 30_000;

/**
 * Carries the spool's records to the bus, in order, in bundles. How far it has come, and which rows a bundle was
 * made of, is nowhere but here: after a restart everything that the log has not confirmed goes once more.
 */
export class Shipper implements AsyncDisposable {
  readonly #options: ShipperOptions;
  /** The sequence up to which the bus has taken everything. */
  #shipped = 0;
  /** What is under way to the log, by the bundle's id. */
  readonly #sent = new Map<string, SequenceRange>();
  /** What was shipped up to `upTo` and is here still at `at` goes again, beginning with the first. */
  #overdue = { upTo: 0, at: performance.now() + confirmationMilliseconds, lastSent: "" };
  #running: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ShipperOptions) {
    this.#options = options;
  }

  /** Something was kept. Cheap; call it after every commit. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      clearTimeout(this.#timer);
      if (!this.#closed) this.#timer = setTimeout(() => this.wake(), idleMilliseconds).unref();
      if (this.#again) this.wake();
    });
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#shipAgain();
        while (!this.#closed && (await this.#ship(this.#shipped, Number.MAX_SAFE_INTEGER)).rows === rowsMax) {
          // Until nothing is left.
        }
        await pause(pauseMilliseconds);
      } catch (error) {
        this.#options.onTrouble?.(`audit records wait in the spool: ${(error as Error).message}`);
        await pause(retryMilliseconds);
      }
    }
  }

  /** Sends the next bundles. @throws where the bus did not take one: it and what came after it go again */
  async #ship(after: number, upTo: number): Promise<{ bundles: Bundle[]; rows: number }> {
    const { auditKey, bus, file, service } = this.#options;
    const { kept = [] } = await file.ask({ do: "read", after, upTo, limit: rowsMax });
    const bundles = bundle(kept, service, auditKey);
    // Before they are on their way: the log may confirm them before the bus does.
    for (const { id, rows } of bundles) this.#sent.set(id, rows);
    const sent = await Promise.allSettled(
      bundles.map(({ id, message }) => bus.publish(`claviger.audit.${service}`, message, id)),
    );
    const failed = sent.findIndex(({ status }) => status === "rejected");
    const last = bundles[failed === -1 ? bundles.length - 1 : failed - 1];
    if (last !== undefined) this.#shipped = Math.max(this.#shipped, last.rows.to);
    if (failed !== -1) throw (sent[failed] as PromiseRejectedResult).reason;
    return { bundles, rows: kept.length };
  }

  /**
   * A few at a time, the next when the log has confirmed the last: where the log is away, a spool that is sent
   * over and over would fill up the bus.
   */
  async #shipAgain(): Promise<void> {
    if (performance.now() < this.#overdue.at) return;
    const { upTo } = this.#overdue;
    const at = performance.now() + confirmationMilliseconds;
    // They may be bundled otherwise now. Who confirms the earlier bundle confirms nothing, and these go again.
    for (const [id, { to }] of this.#sent) if (to <= upTo) this.#sent.delete(id);
    const { bundles } = upTo === 0 ? { bundles: [] } : await this.#ship(0, upTo);
    const last = bundles.at(-1);
    this.#overdue =
      last === undefined
        ? { upTo: this.#shipped, at, lastSent: "" }
        : { upTo: this.#overdue.upTo, at, lastSent: last.id };
  }

  /** The log has these bundles. @returns the rows that they were made of */
  confirmed(ids: readonly string[]): SequenceRange[] {
    const ranges: SequenceRange[] = [];
    for (const id of ids) {
      const rows = this.#sent.get(id);
      if (rows !== undefined) ranges.push(rows);
      this.#sent.delete(id);
    }
    if (ids.includes(this.#overdue.lastSent)) {
      this.#overdue.at = 0;
      this.wake();
    }
    return ranges;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
