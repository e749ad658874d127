import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

export interface HoldRow {
  id: string;
  keyId: string;
  holder: string;
  reason: string;
  placedAt: Date;
}

const columns = `id, key_id AS "keyId", holder, reason, placed_at AS "placedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: HoldRow & { seal: Buffer }): HoldRow {
  sealer.check("holds", `hold ${row.id}`, { ...row }, seal);
  return row;
}

export async function insertHold(tx: Transaction, sealer: RowSealer, row: HoldRow): Promise<void> {
  await tx.query(
    "INSERT INTO holds (id, key_id, holder, reason, placed_at, seal) VALUES ($1, $2, $3, $4, $5, $6)",
    [row.id, row.keyId, row.holder, row.reason, row.placedAt, sealer.seal("holds", { ...row })],
  );
}

export async function listHolds(tx: Transaction, sealer: RowSealer, keyId: string): Promise<HoldRow[]> {
  const rows = await tx.query<HoldRow & { seal: Buffer }>(
    `SELECT ${columns} FROM holds WHERE key_id = $1 ORDER BY placed_at, id`,
    [keyId],
  );
  return rows.map((row) => open(sealer, row));
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteHold(tx: Transaction, sealer: RowSealer, row: HoldRow, now: Date): Promise<void> {
  await tx.query("DELETE FROM holds WHERE id = $1", [row.id]);
  const withdrawnAt = later(now, row.placedAt);
  await insertWithdrawal(tx, sealer, { source: "holds", place: row.id, withdrawnAt });
}

export const sealedHolds: SealedTable = {
  name: "holds",
  columns,
  key: [{ column: "id", type: "uuid" }],
  revision: (row: HoldRow) => row.placedAt.getTime(),
  open,
};
