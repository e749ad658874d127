import type { Database, Transaction } from "@claviger/database";
import { isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import { Rounds } from "@claviger/service";
import type { Finding } from "./scan.ts";

export interface TamperingOptions {
  database: Database;
  /** All of the rows, once. */
  scan: () => AsyncIterable<{ findings: readonly Finding[] }>;
  /** An event goes out: `row` as it may be told to everybody. */
  publish: (tx: Transaction, row: string, table: string) => Promise<void>;
  /** Tables whose rows name somebody: events and log lines of these do not say which row. */
  namesSomebody: ReadonlySet<string>;
  /** `row` is as in the event. */
  onFinding: (table: string, row: string) => void;
  onTrouble: (what: string) => void;
}

const scanEveryMilliseconds = 15 * 60_000;
/** Between two pages of a scan, so that it takes little of what callers need. */
const pauseMilliseconds = 20;
/** A row is told of again after this long, if it is still as it was. */
const silenceMilliseconds = 15 * 60_000;
const rememberedMax = 10_000;

/**
 * Tells of rows that were changed outside of Claviger: of those that somebody uses at once, and of the others when a
 * scan comes by. An event goes out for each, and `claviger status` says how many the last scan found.
 */
export class Tampering implements AsyncDisposable {
  readonly #options: TamperingOptions;
  readonly #toldAt = new Map<string, number>();
  readonly #rounds: Rounds;
  #telling: Promise<void> = Promise.resolve();
  #found = 0;

  constructor(options: TamperingOptions) {
    this.#options = options;
    this.#rounds = new Rounds({
      everyMilliseconds: scanEveryMilliseconds,
      work: () => this.#scan(),
      waiting: "the scan of the rows waits",
      onTrouble: options.onTrouble,
    });
    this.#rounds.poke();
  }

  /** Does not wait; the caller is about to be refused. */
  tell(finding: Finding): void {
    const { database, namesSomebody, onFinding, onTrouble, publish } = this.#options;
    const name = `${finding.table}\n${finding.row}`;
    const now = performance.now();
    if (now - (this.#toldAt.get(name) ?? Number.NEGATIVE_INFINITY) < silenceMilliseconds) return;
    if (this.#toldAt.size >= rememberedMax) this.#toldAt.delete(this.#toldAt.keys().next().value!);
    this.#toldAt.set(name, now);
    const { table } = finding;
    const row = namesSomebody.has(table) ? table : finding.row;
    onFinding(table, row);
    this.#telling = this.#telling
      .then(() => database.transaction((tx) => publish(tx, row, table)))
      .catch((error: unknown) => {
        this.#toldAt.delete(name);
        onTrouble(`a changed row was not told of: ${(error as Error).message}`);
      });
  }

  /** For `claviger status`: what the last scan found; empty where that is nothing. */
  report(): string {
    return this.#found === 0
      ? ""
      : `rows changed outside Claviger: ${this.#found}; claviger doctor names them`;
  }

  async #scan(): Promise<boolean> {
    let found = 0;
    for await (const { findings } of this.#options.scan()) {
      found += findings.length;
      for (const finding of findings) this.tell(finding);
      await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
    }
    this.#found = found;
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
    await this.#telling;
  }
}

/** The same sealer, that tells of a seal which does not fit before it throws. */
export function tellingSealer(sealer: RowSealer, tell: (finding: Finding) => void): RowSealer {
  return {
    seal: sealer.seal,
    check(table, row, fields, seal) {
      try {
        sealer.check(table, row, fields, seal);
      } catch (error) {
        if (isDomainError(error, "integrity")) tell({ table, row, what: error.message });
        throw error;
      }
    },
  };
}
