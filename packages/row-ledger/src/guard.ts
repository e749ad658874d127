import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Database, Transaction } from "@claviger/database";
import { type RowSealer, rowSealerFromFile } from "@claviger/row-seal";
import { type DependencyProbe, type Lifetime, type Logger, probe } from "@claviger/service";
import { freshSealer } from "./fresh-sealer.ts";
import { Ledger } from "./ledger.ts";
import { type Finding, type ScannedPage, scanRows } from "./scan.ts";
import type { SealedTable } from "./sealed-table.ts";
import { Tampering, type TamperingOptions, tellingSealer } from "./tampering.ts";

export interface GuardOptions extends Pick<TamperingOptions, "publish" | "namesSomebody"> {
  /** The service's own: its seal key, its ledger, and the note that a restore leaves. */
  directory: string;
  database: Database;
  tables: readonly SealedTable[];
  logger: Logger;
  warn: (what: string) => void;
  lifetime: Lifetime;
}

export interface RowGuard {
  /** For one transaction: seals and notes what is written, refuses what was changed, put back or taken away. */
  sealerOf(tx: Transaction): RowSealer;
  scan(): AsyncGenerator<ScannedPage>;
  /** There was no ledger before: this service has never looked at its rows. */
  firstStart: boolean;
  probe: DependencyProbe;
}

/** Everything that guards a service's sealed rows, from its start to its end. */
export function guardRows(options: GuardOptions): RowGuard {
  const { database, directory, lifetime, logger, tables, warn } = options;
  const plain = rowSealerFromFile(join(directory, "seal.key"));
  const path = join(directory, "ledger.db");
  const firstStart = !existsSync(path);
  const ledger = new Ledger(path, tables, warn);
  lifetime.onStop("ledger", () => ledger[Symbol.dispose]());
  // The database is another one from now on.
  if (existsSync(join(directory, "restored.json"))) ledger.forget();
  const scan = (): AsyncGenerator<ScannedPage> => scanRows({ database, ledger, sealer: plain }, tables);
  const tell = (finding: Finding): void => tampering.tell(finding);
  const sealer = freshSealer(tellingSealer(plain, tell), { ledger, tables, tell });
  const tampering = new Tampering({
    ...options,
    scan,
    onFinding: (table, row) => logger.error("a row was changed outside Claviger", { table, row }),
    onTrouble: warn,
  });
  lifetime.onStop("tampering", () => tampering[Symbol.asyncDispose]());
  return {
    sealerOf: (tx) => ledger.noting(tx, sealer),
    scan,
    firstStart,
    probe: probe("rows", async () => ({ version: "", detail: tampering.report() })),
  };
}

export interface CheckedRows {
  rowsChecked: bigint;
  findings: Finding[];
  done: boolean;
}

const answerEveryMilliseconds = 500;

/** The answers of a service's `CheckRows`, as it goes. */
export async function* answerCheck(
  scan: AsyncIterable<{ rows: number; findings: readonly Finding[] }>,
  signal: AbortSignal,
): AsyncGenerator<CheckedRows> {
  let rowsChecked = 0n;
  let answeredAt = performance.now();
  for await (const { findings, rows } of scan) {
    if (signal.aborted) return;
    rowsChecked += BigInt(rows);
    if (findings.length === 0 && performance.now() - answeredAt < answerEveryMilliseconds) continue;
    answeredAt = performance.now();
    yield { rowsChecked, findings: [...findings], done: false };
  }
  yield { rowsChecked, findings: [], done: true };
}
