import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { Reach } from "../access-rules.ts";
import type { KeyName } from "../names.ts";
import { type KeyRow, keyColumns, openKey, type SealedKeyRow } from "./keys.ts";

/** What a key is found by from now on. */
export async function replaceSearch(
  tx: Transaction,
  { id, keyring, name }: { id: string; keyring: string; name: string },
  digests: readonly Buffer[],
): Promise<void> {
  await tx.query("DELETE FROM key_search WHERE key_id = $1", [id]);
  if (digests.length === 0) return;
  await tx.query(
    `INSERT INTO key_search (digest, keyring, name, key_id) SELECT DISTINCT unnest($1::bytea[]), $2, $3, $4::uuid`,
    [digests, keyring, name, id],
  );
}

export interface KeyFilter {
  reach: Reach;
  /** Empty: all of them. */
  keyring: string;
  /** What each key must be found by. */
  digests: readonly Buffer[];
  after: KeyName;
  limit: number;
}

/** A page of keys, by keyring and name. Each way of asking walks an index and stops after a page. */
export async function listKeys(tx: Transaction, sealer: RowSealer, filter: KeyFilter): Promise<KeyRow[]> {
  const values: unknown[] = [filter.limit];
  const rows = await tx.query<SealedKeyRow>(
    `WITH page AS (${pageSql(filter, values)})
     SELECT ${keyColumns} FROM page JOIN keys USING (keyring, name) ORDER BY keyring, name LIMIT $1`,
    values,
  );
  return rows.map((row) => openKey(sealer, row));
}

function pageSql({ after, digests, keyring, reach }: KeyFilter, values: unknown[]): string {
  const value = (given: unknown): string => `$${values.push(given)}`;
  const conditions = [`(k.keyring, k.name) > (${value(after.keyring)}, ${value(after.key)})`];
  if (keyring !== "") conditions.push(`k.keyring = ${value(keyring)}`);
  // Within one keyring the index is entered at the name: the pair alone would be looked for from its beginning.
  if (keyring !== "" && keyring === after.keyring) conditions.push(`k.name > ${value(after.key)}`);
  const [first, ...others] = digests;
  let source = "keys k";
  if (first !== undefined) {
    source = "key_search k";
    conditions.push(`k.digest = ${value(first)}`);
    for (const other of others) {
      conditions.push(
        `EXISTS (SELECT 1 FROM key_search o WHERE o.digest = ${value(other)} AND o.keyring = k.keyring AND o.name = k.name)`,
      );
    }
  }
  const where = conditions.join(" AND ");
  const page = "ORDER BY k.keyring, k.name LIMIT $1";
  if (reach === "everything") return `SELECT k.keyring, k.name FROM ${source} WHERE ${where} ${page}`;
  const keyrings = value(reach.keyrings);
  const names = reach.keys.map((name) => name.split("/"));
  const [rings, keys] = [value(names.map(([ring]) => ring)), value(names.map(([, key]) => key))];
  // For each of them a page, which its index gives: however many keys there are that this caller may not see.
  return `SELECT p.keyring, p.name FROM unnest(${keyrings}::text[]) AS r(keyring)
       CROSS JOIN LATERAL (SELECT k.keyring, k.name FROM ${source} WHERE k.keyring = r.keyring AND ${where} ${page}) p
     UNION
     SELECT p.keyring, p.name FROM unnest(${rings}::text[], ${keys}::text[]) AS r(keyring, name)
       CROSS JOIN LATERAL (SELECT k.keyring, k.name FROM ${source}
         WHERE k.keyring = r.keyring AND k.name = r.name AND ${where} LIMIT 1) p
     ORDER BY keyring, name LIMIT $1`;
}
