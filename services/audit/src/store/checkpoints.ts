import type { Transaction } from "@claviger/database";

export interface CheckpointRow {
  size: number;
  note: string;
  verifierKey: string;
  signedAt: Date;
}

export async function insertCheckpoint(tx: Transaction, row: CheckpointRow): Promise<void> {
  await tx.query(
    "INSERT INTO checkpoints (size, note, verifier_key, signed_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    [row.size, row.note, row.verifierKey, row.signedAt],
  );
}

export async function newestCheckpoint(tx: Transaction): Promise<CheckpointRow | undefined> {
  const [row] = await tx.query<Omit<CheckpointRow, "size"> & { size: string }>(
    `SELECT size, note, verifier_key AS "verifierKey", signed_at AS "signedAt"
     FROM checkpoints ORDER BY size DESC LIMIT 1`,
  );
  return row === undefined ? undefined : { ...row, size: Number(row.size) };
}
