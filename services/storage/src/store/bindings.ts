import type { Transaction } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

const allBindingsMax = 20_000;

export interface BindingRow {
  id: string;
  role: string;
  identity: string;
  resource: string;
  createdBy: string;
  createdAt: Date;
  /** CEL; empty: always. */
  condition: string;
}

const columns = `id, role, identity, resource, created_by AS "createdBy", created_at AS "createdAt", condition, seal`;

function open(sealer: RowSealer, { seal, ...row }: BindingRow & { seal: Buffer }): BindingRow {
  sealer.check("role_bindings", `${row.role} for ${row.identity} on ${row.resource}`, sealed(row), seal);
  return row;
}

/** Without a condition as before there were any: the seals of those rows go on being right. */
function sealed({ condition, ...row }: BindingRow) {
  return condition === "" ? row : { ...row, condition };
}

export async function insertBinding(tx: Transaction, sealer: RowSealer, row: BindingRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO role_bindings (id, role, identity, resource, created_by, created_at, condition, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (identity, role, resource) DO NOTHING RETURNING 1`,
    [
      row.id,
      row.role,
      row.identity,
      row.resource,
      row.createdBy,
      row.createdAt,
      row.condition,
      sealer.seal("role_bindings", sealed(row)),
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

/** All of them, to be looked at together. @throws DomainError `exhausted` past the bound */
export async function allBindings(tx: Transaction, sealer: RowSealer): Promise<BindingRow[]> {
  const rows = await tx.query<BindingRow & { seal: Buffer }>(
    `SELECT ${columns} FROM role_bindings ORDER BY identity, resource, role LIMIT ${allBindingsMax + 1}`,
  );
  if (rows.length > allBindingsMax) {
    throw new DomainError("exhausted", `there are more than ${allBindingsMax} bindings to look at together`);
  }
  return rows.map((row) => open(sealer, row));
}

/**
 * Who has a role, with their rows locked: of two who end the last two at once, one waits and is refused. A row that was
 * changed outside Claviger gives nobody a role, and keeps nobody from changing others.
 */
export async function lockOfRole(
  tx: Transaction,
  sealer: RowSealer,
  role: string,
  resource: string,
): Promise<BindingRow[]> {
  const rows = await tx.query<BindingRow & { seal: Buffer }>(
    `SELECT ${columns} FROM role_bindings WHERE role = $1 AND resource = $2 ORDER BY id FOR UPDATE`,
    [role, resource],
  );
  return rows.flatMap((row) => genuine(sealer, row));
}

function genuine(sealer: RowSealer, row: BindingRow & { seal: Buffer }): BindingRow[] {
  try {
    return [open(sealer, row)];
  } catch (error) {
    if (isDomainError(error, "integrity")) return [];
    throw error;
  }
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
