import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

export interface BindingRow {
  id: string;
  role: string;
  identity: string;
  resource: string;
  createdBy: string;
  createdAt: Date;
}

const columns = `id, role, identity, resource, created_by AS "createdBy", created_at AS "createdAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: BindingRow & { seal: Buffer }): BindingRow {
  sealer.check("role_bindings", `${row.role} for ${row.identity} on ${row.resource}`, { ...row }, seal);
  return row;
}

export async function insertBinding(tx: Transaction, sealer: RowSealer, row: BindingRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO role_bindings (id, role, identity, resource, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (identity, role, resource) DO NOTHING RETURNING 1`,
    [
      row.id,
      row.role,
      row.identity,
      row.resource,
      row.createdBy,
      row.createdAt,
      sealer.seal("role_bindings", { ...row }),
    ],
  );
  return inserted.length === 1;
}

/** Every binding of one identity. An identity has few; past the bound it has too many to decide about. */
export async function bindingsOf(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
): Promise<BindingRow[]> {
  const rows = await tx.query<BindingRow & { seal: Buffer }>(
    `SELECT ${columns} FROM role_bindings WHERE identity = $1 ORDER BY resource, role LIMIT 1000`,
    [identity],
  );
  return rows.map((row) => open(sealer, row));
}

export async function listBindings(
  tx: Transaction,
  sealer: RowSealer,
  filter: { identity: string; after: string; limit: number },
): Promise<BindingRow[]> {
  const rows = await tx.query<BindingRow & { seal: Buffer }>(
    `SELECT ${columns} FROM role_bindings
     WHERE ($1 = '' OR identity = $1) AND identity || ' ' || resource || ' ' || role > $2
     ORDER BY identity || ' ' || resource || ' ' || role LIMIT $3`,
    [filter.identity, filter.after, filter.limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** How many have a role, with their rows locked: of two who end the last two at once, one waits and is refused. */
export async function lockOfRole(tx: Transaction, role: string, resource: string): Promise<number> {
  const rows = await tx.query(
    "SELECT id FROM role_bindings WHERE role = $1 AND resource = $2 ORDER BY id FOR UPDATE",
    [role, resource],
  );
  return rows.length;
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteBinding(
  tx: Transaction,
  sealer: RowSealer,
  row: BindingRow,
  now: Date,
): Promise<void> {
  await tx.query("DELETE FROM role_bindings WHERE id = $1", [row.id]);
  const withdrawnAt = later(now, row.createdAt);
  await insertWithdrawal(tx, sealer, { source: "role_bindings", place: row.id, withdrawnAt });
}

export const sealedBindings: SealedTable = {
  name: "role_bindings",
  columns,
  key: [{ column: "id", type: "uuid" }],
  revision: (row: BindingRow) => row.createdAt.getTime(),
  label: (row: BindingRow) => `${row.role} for ${row.identity} on ${row.resource}`,
  open,
};
