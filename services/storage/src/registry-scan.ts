import type { Database, Transaction } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import type { Ledger, LedgerPlace } from "./ledger.ts";
import { sealedTables } from "./sealed-tables.ts";
import { keyNames, listIncompleteKeys } from "./store/keys.ts";
import { placeOf, readSealedPage, readSealedRows, type SealedTable } from "./store/sealed-table.ts";
import { sealedWithdrawals, withdrawalsOf } from "./store/withdrawals.ts";

/** A row that Claviger did not write as it is, or one that should be there. */
export interface Finding {
  table: string;
  /** As people name it. */
  row: string;
  what: string;
  /** `keyring/key` or `keyring/key@version`, where it is about one. */
  key?: string;
}

export interface ScanPage {
  rows: number;
  findings: Finding[];
}

/** What of a row says which key it is about; none of it where it is about something else. */
interface KeyParts {
  keyId?: string;
  version?: number;
  keyring?: string;
  name?: string;
}

interface FoundRow extends Finding {
  of: KeyParts;
}

const pageMax = 500;
/** Of which versions are counted at a time. */
const keysOfPageMax = 1000;
const firstId = "00000000-0000-0000-0000-000000000000";

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
export async function* scanRegistry(parts: ScanParts): AsyncGenerator<ScanPage> {
  const { database } = parts;
  for (const table of sealedTables) {
    let after: string[] | undefined;
    do {
      const page = await database.transaction((tx) => readSealedPage(tx, table, after, pageMax));
      const found = [...(await wrongRows(parts, table, page.rows))];
      const findings = found.length === 0 ? [] : await database.transaction((tx) => withKeys(tx, found));
      yield { rows: page.rows.length, findings };
      after = page.end;
    } while (after !== undefined);
  }
  for (const table of sealedTables) yield* missingRows(parts, table);
  for (let after: string | undefined = firstId; after !== undefined; ) {
    const from: string = after;
    const { end, incomplete } = await database.transaction((tx) =>
      listIncompleteKeys(tx, from, keysOfPageMax),
    );
    const findings = incomplete.map(({ latestVersion, name, versions }) => ({
      table: "key_versions",
      row: name,
      key: name,
      what: `${name} is at version ${latestVersion}, and ${versions} versions of it are there`,
    }));
    yield { rows: 0, findings };
    after = end;
  }
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
  const found = looks.flatMap(({ named, row, what }) =>
    what === undefined ? [] : [{ table: table.name, row: named, what, of: row }],
  );
  // It may have been changed between the page's transaction and the look into the ledger: what is old stays so.
  for (const row of old.length === 0
    ? []
    : await database.transaction((tx) => readSealedRows(tx, table, old))) {
    const { named, opened } = lookAt(table, sealer, row);
    const why = opened === undefined ? undefined : ledger.whyOld(table, opened);
    if (why !== undefined)
      found.push({ table: table.name, row: named, what: `the row of ${named} ${why}`, of: row });
  }
  ledger.learn(table, genuine);
  return found;
}

/** What the ledger knows to be there, and is not. */
async function* missingRows(
  { database, ledger, sealer }: ScanParts,
  table: SealedTable,
): AsyncGenerator<ScanPage> {
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
    yield {
      rows: 0,
      findings: found.length === 0 ? [] : await database.transaction((tx) => withKeys(tx, found)),
    };
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
      ...(table.name === "keys" ? { key: label } : {}),
      of: ofPlace(table, place),
    }));
}

/** Of the tables whose primary key begins with a key's id. */
function ofPlace({ key }: SealedTable, place: string): KeyParts {
  const [first, second] = place.split("\n");
  if (key[0]?.column !== "key_id") return {};
  return { keyId: first!, version: Number(second) };
}

/** Rows name a key by its id, and people by its name. */
async function withKeys(tx: Transaction, found: readonly FoundRow[]): Promise<Finding[]> {
  const ids = found.flatMap(({ of: { keyId } }) => keyId ?? []);
  const names = await keyNames(tx, ids);
  return found.map(({ of: { keyId, keyring, name, version }, ...finding }) => {
    if (keyId === undefined) {
      return keyring === undefined || name === undefined
        ? finding
        : { ...finding, key: `${keyring}/${name}` };
    }
    const key = names.get(keyId) ?? keyId;
    return { ...finding, key: version === undefined ? key : `${key}@${version}` };
  });
}

interface Look {
  /** As people name the row. */
  named: string;
  /** Where its seal fits. */
  opened?: object;
  /** Where it does not. */
  what?: string;
}

function lookAt(table: SealedTable, sealer: RowSealer, row: object): Look {
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
