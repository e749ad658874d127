import type { ColumnCipher } from "@claviger/column-cipher";
import type { Transaction } from "@claviger/database";

/** Encrypted, the same for the same identity: who calls is nobody's business who reads the database. */
const identityColumn = "access_callers.identity";

/** Somebody asked for something and got it, at least once between the two moments. */
export interface AccessCallerRow {
  identity: string;
  permission: string;
  resource: string;
  lastAskedAt: Date;
}

export async function keepAccessCallers(
  tx: Transaction,
  columns: ColumnCipher,
  rows: readonly AccessCallerRow[],
): Promise<void> {
  await tx.query(
    `INSERT INTO access_callers (identity, permission, resource, first_asked_at, last_asked_at)
     SELECT identity, permission, resource, at, at
     FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS seen (identity, permission, resource, at)
     ORDER BY identity, permission, resource
     ON CONFLICT (identity, permission, resource)
     DO UPDATE SET last_asked_at = GREATEST(access_callers.last_asked_at, excluded.last_asked_at)`,
    [
      rows.map(({ identity }) => columns.concealExact(identityColumn, identity).toString("base64url")),
      rows.map(({ permission }) => permission),
      rows.map(({ resource }) => resource),
      rows.map(({ lastAskedAt }) => lastAskedAt),
    ],
  );
}

/** The newest first. */
export async function listAccessCallers(
  tx: Transaction,
  columns: ColumnCipher,
  since: Date,
  limit: number,
): Promise<AccessCallerRow[]> {
  const rows = await tx.query<AccessCallerRow>(
    `SELECT identity, permission, resource, last_asked_at AS "lastAskedAt" FROM access_callers
     WHERE last_asked_at >= $1 ORDER BY last_asked_at DESC, identity, permission, resource LIMIT $2`,
    [since, limit],
  );
  return rows.map((row) => ({
    ...row,
    identity: columns.revealExact(identityColumn, Buffer.from(row.identity, "base64url")),
  }));
}

/** What is older goes, and of each identity all but its newest. */
export async function forgetAccessCallers(
  tx: Transaction,
  before: Date,
  keptOfIdentity: number,
): Promise<void> {
  await tx.query("DELETE FROM access_callers WHERE last_asked_at < $1", [before]);
  await tx.query(
    `DELETE FROM access_callers USING (
       SELECT identity, permission, resource,
         row_number() OVER (PARTITION BY identity ORDER BY last_asked_at DESC) AS place FROM access_callers
     ) AS placed
     WHERE placed.place > $1 AND access_callers.identity = placed.identity
       AND access_callers.permission = placed.permission AND access_callers.resource = placed.resource`,
    [keptOfIdentity],
  );
}
