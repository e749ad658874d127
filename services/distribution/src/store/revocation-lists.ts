import type { Transaction } from "@claviger/database";

export interface RevocationListRow {
  authority: string;
  authorityGeneration: number;
  number: number;
  /** The CA's changes that it knows of: what tells that it is behind. */
  changes: number;
  thisUpdate: Date;
  nextUpdate: Date;
  /** DER. */
  list: Buffer;
}

export async function newestList(
  tx: Transaction,
  authority: string,
  generation: number,
): Promise<RevocationListRow | undefined> {
  const [row] = await tx.query<Omit<RevocationListRow, "number"> & { number: string }>(
    `SELECT authority, authority_generation AS "authorityGeneration", number, revoked AS changes,
       this_update AS "thisUpdate", next_update AS "nextUpdate", list
     FROM revocation_lists WHERE authority = $1 AND authority_generation = $2 ORDER BY number DESC LIMIT 1`,
    [authority, generation],
  );
  return row === undefined ? undefined : { ...row, number: Number(row.number) };
}

/** The list before it stays, the ones before that go. */
export async function insertList(tx: Transaction, row: RevocationListRow): Promise<void> {
  await tx.query(
    `INSERT INTO revocation_lists (authority, authority_generation, number, revoked, this_update, next_update, list)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      row.authority,
      row.authorityGeneration,
      row.number,
      row.changes,
      row.thisUpdate,
      row.nextUpdate,
      row.list,
    ],
  );
  await tx.query(
    "DELETE FROM revocation_lists WHERE authority = $1 AND authority_generation = $2 AND number < $3",
    [row.authority, row.authorityGeneration, row.number - 1],
  );
}
