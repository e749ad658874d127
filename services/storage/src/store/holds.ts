import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import { presentFields } from "./present.ts";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

export interface HoldRow {
  id: string;
  keyId: string;
  /** In clear in a row from before alone. */
  holder: string | null;
  reason: string | null;
  /** Who holds and why, encrypted (holds.ts of the domain). */
  details: Buffer | null;
  /** Empty in a row from before. */
  kind: string;
  expiresAt: Date | null;
  placedAt: Date;
}

type Sealed = HoldRow & { seal: Buffer };

const columns = `id, key_id AS "keyId", holder, reason, details, kind, expires_at AS "expiresAt",
  placed_at AS "placedAt", seal`;

function sealed(row: HoldRow) {
  return { ...presentFields(row, ["holder", "reason", "details", "kind", "expiresAt"]) };
}

function open(sealer: RowSealer, { seal, ...row }: Sealed): HoldRow {
  sealer.check("holds", `hold ${row.id}`, sealed(row), seal);
  return row;
}

export async function insertHold(tx: Transaction, sealer: RowSealer, row: HoldRow): Promise<void> {
  await tx.query(
    "INSERT INTO holds (id, key_id, details, kind, expires_at, placed_at, seal) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    [
      row.id,
      row.keyId,
      row.details,
      row.kind,
      row.expiresAt,
      row.placedAt,
      sealer.seal("holds", sealed(row)),
    ],
  );
}

/** A row from before, written as it would be now. */
export async function rewriteHold(tx: Transaction, sealer: RowSealer, row: HoldRow): Promise<void> {
  await tx.query(
    "UPDATE holds SET holder = NULL, reason = NULL, details = $2, kind = $3, seal = $4 WHERE id = $1",
    [row.id, row.details, row.kind, sealer.seal("holds", sealed(row))],
  );
}

export async function listHolds(tx: Transaction, sealer: RowSealer, keyId: string): Promise<HoldRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM holds WHERE key_id = $1 ORDER BY placed_at, id`,
    [keyId],
  );
  return rows.map((row) => open(sealer, row));
}

/** Those that are in clear still, locked. */
export async function listHoldsInClear(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<{ last: string | undefined; rows: HoldRow[] }> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM holds WHERE details IS NULL AND id > $1::uuid ORDER BY id LIMIT $2 FOR UPDATE`,
    [after, limit],
  );
  const genuine = rows.flatMap((row) => {
    try {
      return [open(sealer, row)];
    } catch {
      // The scan tells of it.
      return [];
    }
  });
  return { last: rows.at(-1)?.id, rows: genuine };
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
