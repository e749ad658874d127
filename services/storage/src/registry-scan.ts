import type { Database, Transaction } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import { sealedBindings } from "./store/bindings.ts";
import { sealedGenerationEnds } from "./store/generation-ends.ts";
import { sealedHolds } from "./store/holds.ts";
import { sealedGenerations, sealedKeyrings } from "./store/keyrings.ts";
import { keyNames, listIncompleteKeys, sealedKeys, sealedVersions } from "./store/keys.ts";
import { sealedRevocations } from "./store/revocations.ts";
import { readSealedPage, type SealedTable } from "./store/sealed-table.ts";
import { sealedUses } from "./store/uses.ts";

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

const tables: readonly SealedTable[] = [
  sealedKeyrings,
  sealedGenerations,
  sealedGenerationEnds,
  sealedKeys,
  sealedVersions,
  sealedUses,
  sealedHolds,
  sealedBindings,
  sealedRevocations,
];
const pageMax = 500;
const incompleteMax = 1000;

/**
 * Every sealed row, page by page, each page in a transaction of its own: what changes meanwhile is looked at before
 * or after, never in between. Bounded in memory, however many rows there are.
 */
export async function* scanRegistry(database: Database, sealer: RowSealer): AsyncGenerator<ScanPage> {
  for (const table of tables) {
    let after: string[] | undefined;
    do {
      const { found, page } = await database.transaction(async (tx) => {
        const page = await readSealedPage(tx, table, after, pageMax);
        const found = page.rows.filter((row) => findingsIn(table, sealer, row).length > 0);
        return { page, found: await withKeys(tx, found) };
      });
      const findings = found.flatMap(({ key, row }) =>
        findingsIn(table, sealer, row).map((finding) => (key === "" ? finding : { ...finding, key })),
      );
      yield { rows: page.rows.length, findings };
      after = page.end;
    } while (after !== undefined);
  }
  const incomplete = await database.transaction((tx) => listIncompleteKeys(tx, incompleteMax));
  const findings = incomplete.map(({ currentVersion, name, versions }) => ({
    table: "key_versions",
    row: name,
    key: name,
    what: `${name} is at version ${currentVersion}, and ${versions} versions of it are there`,
  }));
  yield { rows: 0, findings };
}

/** Rows name a key by its id, and people by its name. */
async function withKeys(
  tx: Transaction,
  rows: readonly { keyId?: string; version?: number; keyring?: string; name?: string }[],
): Promise<{ row: object; key: string }[]> {
  const ids = rows.flatMap(({ keyId }) => (keyId === undefined ? [] : [keyId]));
  const names = ids.length === 0 ? new Map<string, string>() : await keyNames(tx, ids);
  return rows.map((row) => {
    if (row.keyId === undefined) {
      const isKey = row.keyring !== undefined && row.name !== undefined;
      return { row, key: isKey ? `${row.keyring}/${row.name}` : "" };
    }
    const name = names.get(row.keyId) ?? row.keyId;
    return { row, key: row.version === undefined ? name : `${name}@${row.version}` };
  });
}

function findingsIn(table: SealedTable, sealer: RowSealer, row: object): Finding[] {
  let named = "";
  const naming: RowSealer = {
    seal: sealer.seal,
    check(name, rowName, fields, seal) {
      named = rowName;
      sealer.check(name, rowName, fields, seal);
    },
  };
  try {
    table.open(naming, row);
    return [];
  } catch (error) {
    if (!isDomainError(error, "integrity")) {
      throw new DomainError("internal", `the scan of ${table.name} failed`, { cause: error });
    }
    return [{ table: table.name, row: named, what: error.message }];
  }
}
