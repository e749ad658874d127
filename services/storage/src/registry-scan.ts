import type { Transaction } from "@claviger/database";
import { type Finding, type FoundRow, type ScanParts, scanRows } from "@claviger/row-ledger";
import { sealedTables } from "./sealed-tables.ts";
import { keyNames, listIncompleteKeys } from "./store/keys.ts";

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

/** Of which versions are counted at a time. */
const keysOfPageMax = 1000;
const firstId = "00000000-0000-0000-0000-000000000000";

/** Every sealed row of storage's, and keys of which a version is missing; what is found names the key it is about. */
export async function* scanRegistry(parts: ScanParts): AsyncGenerator<ScanPage> {
  const { database } = parts;
  for await (const { findings, rows } of scanRows(parts, sealedTables)) {
    const named = findings.length === 0 ? [] : await database.transaction((tx) => withKeys(tx, findings));
    yield { rows, findings: named };
  }
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

/** Of a row that is gone its place is known: in some tables that begins with a key's id. */
function keyPartsOf({ of, table }: FoundRow): KeyParts {
  if ("row" in of) return of.row;
  const [first, second] = of.place.split("\n");
  const { key } = sealedTables.find(({ name }) => name === table)!;
  if (key[0]?.column !== "key_id") return {};
  return { keyId: first!, version: Number(second) };
}

/** Rows name a key by its id, and people by its name. */
async function withKeys(tx: Transaction, found: readonly FoundRow[]): Promise<Finding[]> {
  const parts = found.map((one) => ({ one, of: keyPartsOf(one) }));
  const names = await keyNames(
    tx,
    parts.flatMap(({ of: { keyId } }) => keyId ?? []),
  );
  return parts.map(({ one, of: { keyId, keyring, name, version } }) => {
    const { of, ...finding } = one;
    if (finding.table === "keys" && "place" in of) return { ...finding, key: finding.row };
    if (keyId === undefined) {
      return keyring === undefined || name === undefined
        ? finding
        : { ...finding, key: `${keyring}/${name}` };
    }
    const key = names.get(keyId) ?? keyId;
    return { ...finding, key: version === undefined ? key : `${key}@${version}` };
  });
}
