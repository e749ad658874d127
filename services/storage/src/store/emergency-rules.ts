import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

/** Who may take which role in an emergency, and for how long at most. */
export interface EmergencyRuleRow {
  identity: string;
  role: string;
  resource: string;
  minutesMax: number;
  createdBy: string;
  createdAt: Date;
}

type Sealed = EmergencyRuleRow & { seal: Buffer };
const columns = `identity, role, resource, minutes_max AS "minutesMax", created_by AS "createdBy",
  created_at AS "createdAt", seal`;
export const emergencyRulesMax = 1000;

function nameOf(row: EmergencyRuleRow): string {
  return `${row.role} for ${row.identity} on ${row.resource}`;
}

function open(sealer: RowSealer, { seal, ...row }: Sealed): EmergencyRuleRow {
  sealer.check("emergency_rules", nameOf(row), { ...row }, seal);
  return row;
}

export async function insertEmergencyRule(
  tx: Transaction,
  sealer: RowSealer,
  row: EmergencyRuleRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO emergency_rules (identity, role, resource, minutes_max, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      row.identity,
      row.role,
      row.resource,
      row.minutesMax,
      row.createdBy,
      row.createdAt,
      sealer.seal("emergency_rules", { ...row }),
    ],
  );
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteEmergencyRule(
  tx: Transaction,
  sealer: RowSealer,
  row: EmergencyRuleRow,
  now: Date,
): Promise<void> {
  await tx.query("DELETE FROM emergency_rules WHERE identity = $1 AND role = $2 AND resource = $3", [
    row.identity,
    row.role,
    row.resource,
  ]);
  const place = `${row.identity}\n${row.role}\n${row.resource}`;
  const withdrawnAt = later(now, row.createdAt);
  await insertWithdrawal(tx, sealer, { source: "emergency_rules", place, withdrawnAt });
}

/** Of one identity, or of all where it is empty. */
export async function listEmergencyRules(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
): Promise<EmergencyRuleRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM emergency_rules WHERE $1 = '' OR identity = $1 ORDER BY identity, resource, role LIMIT $2`,
    [identity, emergencyRulesMax],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedEmergencyRules: SealedTable = {
  name: "emergency_rules",
  columns,
  key: [
    { column: "identity", type: "text" },
    { column: "role", type: "text" },
    { column: "resource", type: "text" },
  ],
  revision: (row: EmergencyRuleRow) => row.createdAt.getTime(),
  label: nameOf,
  open,
};
