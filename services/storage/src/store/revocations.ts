import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

export interface RevocationRow {
  /** `identity:spiffe://…` or `serial:…` */
  subject: string;
  reason: string;
  revokedAt: Date;
}

const columns = `subject, reason, revoked_at AS "revokedAt", seal`;

export async function insertRevocation(
  tx: Transaction,
  sealer: RowSealer,
  row: RevocationRow,
): Promise<void> {
  await tx.query(
    "INSERT INTO revocations (subject, reason, revoked_at, seal) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    [row.subject, row.reason, row.revokedAt, sealer.seal("revocations", { ...row })],
  );
}

/** Takes it away, and keeps that Claviger did. Where it is not there, that is well. */
export async function deleteRevocation(
  tx: Transaction,
  sealer: RowSealer,
  { now, subject }: { subject: string; now: Date },
): Promise<void> {
  const [deleted] = await tx.query<{ revokedAt: Date }>(
    `DELETE FROM revocations WHERE subject = $1 RETURNING revoked_at AS "revokedAt"`,
    [subject],
  );
  if (deleted === undefined) return;
  const withdrawnAt = later(now, deleted.revokedAt);
  await insertWithdrawal(tx, sealer, { source: "revocations", place: subject, withdrawnAt });
}

/** The first of `subjects` that is revoked. */
export async function findRevocation(
  tx: Transaction,
  sealer: RowSealer,
  subjects: readonly string[],
): Promise<RevocationRow | undefined> {
  const [found] = await tx.query<RevocationRow & { seal: Buffer }>(
    `SELECT ${columns} FROM revocations WHERE subject = ANY($1) LIMIT 1`,
    [subjects],
  );
  return found === undefined ? undefined : open(sealer, found);
}

export async function listRevocations(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<RevocationRow[]> {
  const rows = await tx.query<RevocationRow & { seal: Buffer }>(
    `SELECT ${columns} FROM revocations WHERE subject > $1 ORDER BY subject LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

function open(sealer: RowSealer, { seal, ...row }: RevocationRow & { seal: Buffer }): RevocationRow {
  sealer.check("revocations", row.subject, { ...row }, seal);
  return row;
}

export const sealedRevocations: SealedTable = {
  name: "revocations",
  columns,
  key: [{ column: "subject", type: "text" }],
  revision: (row: RevocationRow) => row.revokedAt.getTime(),
  open,
};
