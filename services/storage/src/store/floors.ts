import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

/** What authentication must have from a moment on. */
export interface FloorRow {
  id: string;
  requirements: string;
  effectiveAt: Date;
  createdBy: string;
  createdAt: Date;
}

type Sealed = FloorRow & { seal: Buffer };
const columns = `id, requirements, effective_at AS "effectiveAt", created_by AS "createdBy",
  created_at AS "createdAt", seal`;
/** They are read at each decision. */
export const floorsMax = 16;

function open(sealer: RowSealer, { seal, ...row }: Sealed): FloorRow {
  sealer.check("authentication_floors", `floor ${row.id}`, { ...row }, seal);
  return row;
}

export async function insertFloor(tx: Transaction, sealer: RowSealer, row: FloorRow): Promise<void> {
  await tx.query(
    `INSERT INTO authentication_floors (id, requirements, effective_at, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [
      row.id,
      row.requirements,
      row.effectiveAt,
      row.createdBy,
      row.createdAt,
      sealer.seal("authentication_floors", { ...row }),
    ],
  );
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteFloor(
  tx: Transaction,
  sealer: RowSealer,
  row: FloorRow,
  now: Date,
): Promise<void> {
  await tx.query("DELETE FROM authentication_floors WHERE id = $1", [row.id]);
  const withdrawnAt = later(now, row.createdAt);
  await insertWithdrawal(tx, sealer, { source: "authentication_floors", place: row.id, withdrawnAt });
}

export async function listFloors(tx: Transaction, sealer: RowSealer): Promise<FloorRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM authentication_floors ORDER BY effective_at, id LIMIT ${floorsMax + 1}`,
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedFloors: SealedTable = {
  name: "authentication_floors",
  columns,
  key: [{ column: "id", type: "uuid" }],
  revision: (row: FloorRow) => row.createdAt.getTime(),
  label: (row: FloorRow) => `floor ${row.requirements}`,
  open,
};
