import type { Database } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import type { Ledger, LedgerPlace } from "./ledger.ts";
import { placeOf, readSealedPage, readSealedRows, type SealedTable } from "./sealed-table.ts";
import { sealedWithdrawals, withdrawalsOf } from "./withdrawals.ts";

/** A row that Claviger did not write as it is, or one that should be there. */
export interface Finding {
  table: string;
  /** As people name it. */
  row: string;
  what: string;
  /** `keyring/key` or `keyring/key@version`, where it is about one. */
  key?: string;
}

/** With the row itself, as it is; of one that is gone, its place. */
export interface FoundRow extends Finding {
  of: { row: object } | { place: string };
}

export interface ScannedPage {
  rows: number;
  findings: FoundRow[];
}

const pageMax = 500;

export interface ScanParts {
  database: Database;
  ledger: Ledger;
  sealer: RowSealer;
}

/**
 * Every sealed row, page by page, each page in a transaction of its own: what changes meanwhile is looked at before
 * or after, never in between. Bounded in memory, however many rows there are. A row is wrong where its seal does not
 * fit, and where the ledger knows it as newer, or as taken away; and one that the ledger knows is to be there.
 */
export async function* scanRows(
  parts: ScanParts,
  tables: readonly SealedTable[],
): AsyncGenerator<ScannedPage> {
  for (const table of tables) {
    let after: string[] | undefined;
    do {
      const page = await parts.database.transaction((tx) => readSealedPage(tx, table, after, pageMax));
      yield { rows: page.rows.length, findings: await wrongRows(parts, table, page.rows) };
      after = page.end;
    } while (after !== undefined);
  }
  for (const table of tables) yield* missingRows(parts, table);
}

async function wrongRows(
  { database, ledger, sealer }: ScanParts,
  table: SealedTable,
  rows: readonly object[],
): Promise<FoundRow[]> {
  const looks = rows.map((row) => ({ row, ...lookAt(table, sealer, row) }));
  const genuine = looks.flatMap(({ opened }) => opened ?? []);
  const old = genuine
    .filter((row) => ledger.whyOld(table, row) !== undefined)
    .map((row) => placeOf(table, row));
  const found: FoundRow[] = looks.flatMap(({ named, row, what }) =>
    what === undefined ? [] : [{ table: table.name, row: named, what, of: { row } }],
  );
  // It may have been changed between the page's transaction and the look into the ledger: what is old stays so.
  for (const row of old.length === 0
    ? []
    : await database.transaction((tx) => readSealedRows(tx, table, old))) {
    const { named, opened } = lookAt(table, sealer, row);
    const why = opened === undefined ? undefined : ledger.whyOld(table, opened);
    if (why !== undefined)
      found.push({ table: table.name, row: named, what: `the row of ${named} ${why}`, of: { row } });
  }
  ledger.learn(table, genuine);
  return found;
}

/** What the ledger knows to be there, and is not. */
async function* missingRows(
  { database, ledger, sealer }: ScanParts,
  table: SealedTable,
): AsyncGenerator<ScannedPage> {
  let after = "";
  for (;;) {
    const known = ledger.placesAfter(table.name, after, pageMax);
    const last = known.at(-1);
    if (last === undefined) return;
    const places = known.map(({ place }) => place);
    const rows = await database.transaction((tx) => readSealedRows(tx, table, places));
    const there = new Set(rows.map((row) => placeOf(table, row)));
    const missing = known.filter(({ place }) => !there.has(place));
    const found = missing.length === 0 ? [] : await unexplained({ database, ledger, sealer }, table, missing);
    yield { rows: 0, findings: found };
    after = last.place;
  }
}

/** What Claviger itself took away, here or in another replica, has said so in the same transaction. */
async function unexplained(
  { database, ledger, sealer }: ScanParts,
  table: SealedTable,
  missing: readonly LedgerPlace[],
): Promise<FoundRow[]> {
  const places = missing.map(({ place }) => place);
  const withdrawals = await database.transaction((tx) => withdrawalsOf(tx, table.name, places));
  ledger.learn(
    sealedWithdrawals,
    withdrawals.flatMap((row) => lookAt(sealedWithdrawals, sealer, row).opened ?? []),
  );
  return missing
    .filter(({ place }) => ledger.find(table.name, place)?.gone === false)
    .map(({ label, place }) => ({
      table: table.name,
      row: label,
      what: `the row of ${label} is gone, and Claviger did not take it away`,
      of: { place },
    }));
}

interface Look {
  /** As people name the row. */
  named: string;
  /** Where its seal fits. */
  opened?: object;
  /** Where it does not. */
  what?: string;
}

/** Opens a row as its table does, and learns what people call it. */
export function lookAt(table: SealedTable, sealer: RowSealer, row: object): Look {
  const look: Look = { named: "" };
  const naming: RowSealer = {
    seal: sealer.seal,
    check(name, rowName, fields, seal) {
      look.named = rowName;
      sealer.check(name, rowName, fields, seal);
    },
  };
  try {
    look.opened = table.open(naming, row) as object;
  } catch (error) {
    if (!isDomainError(error, "integrity")) {
      throw new DomainError("internal", `the scan of ${table.name} failed`, { cause: error });
    }
    look.what = error.message;
  }
  return look;
}
