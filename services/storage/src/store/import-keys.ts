import type { Transaction } from "@claviger/database";

export interface ImportKeyRow {
  /** UUID. */
  id: string;
  /** SPIFFE URI of who began the import. */
  caller: string;
  /** `keyring/key` that will be made. */
  name: string;
  /** Opaque: the generator's. */
  wrapped: Uint8Array;
  expiresAt: Date;
}

export async function insertImportKey(tx: Transaction, row: ImportKeyRow): Promise<void> {
  await tx.query(
    "INSERT INTO import_keys (id, caller, name, wrapped, expires_at) VALUES ($1, $2, $3, $4, $5)",
    [row.id, row.caller, row.name, row.wrapped, row.expiresAt],
  );
}

export async function countImportKeys(
  tx: Transaction,
  caller: string,
): Promise<{ own: number; all: number }> {
  const [row] = await tx.query<{ own: string; all: string }>(
    `SELECT count(*) FILTER (WHERE caller = $1) AS own, count(*) AS "all" FROM import_keys`,
    [caller],
  );
  return { own: Number(row?.own ?? 0), all: Number(row?.all ?? 0) };
}

/** Takes the row away: of several who ask at once, one gets it. */
export async function takeImportKey(
  tx: Transaction,
  of: Pick<ImportKeyRow, "id" | "caller" | "name">,
  now: Date,
): Promise<Buffer | undefined> {
  const [row] = await tx.query<{ wrapped: Buffer }>(
    `DELETE FROM import_keys WHERE id = $1 AND caller = $2 AND name = $3 AND expires_at > $4 RETURNING wrapped`,
    [of.id, of.caller, of.name, now],
  );
  return row?.wrapped;
}

export async function deleteExpiredImportKeys(tx: Transaction, now: Date): Promise<void> {
  await tx.query("DELETE FROM import_keys WHERE expires_at <= $1", [now]);
}
