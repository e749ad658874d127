import type { Database, Transaction } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import { sealedBindings } from "./store/bindings.ts";
import { sealedAcknowledgements } from "./store/custody-acknowledgements.ts";
import { sealedGenerationEnds } from "./store/generation-ends.ts";
import { sealedHolds } from "./store/holds.ts";
import { sealedGenerations, sealedKeyrings } from "./store/keyrings.ts";
import { keyNames, listIncompleteKeys, sealedKeys, sealedVersions } from "./store/keys.ts";
import { sealedRecoveryKeys } from "./store/recovery-keys.ts";
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
  sealedRecoveryKeys,
  sealedAcknowledgements,
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
      const page = await database.transaction((tx) => readSealedPage(tx, table, after, pageMax));
      const found = page.rows.flatMap((row) => findingsIn(table, sealer, row));
      const findings = found.length === 0 ? [] : await database.transaction((tx) => withKeys(tx, found));
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

function findingsIn(table: SealedTable, sealer: RowSealer, row: KeyParts): FoundRow[] {
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
    return [{ table: table.name, row: named, what: error.message, of: row }];
  }
}
