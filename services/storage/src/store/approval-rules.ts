import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

export interface ApprovalRuleRow {
  permission: string;
  resource: string;
  required: number;
  groupName: string;
  createdBy: string;
  createdAt: Date;
}

type Sealed = ApprovalRuleRow & { seal: Buffer };
const columns = `permission, resource, required, group_name AS "groupName", created_by AS "createdBy",
  created_at AS "createdAt", seal`;
export const rulesMax = 1000;

function open(sealer: RowSealer, { seal, ...row }: Sealed): ApprovalRuleRow {
  sealer.check("approval_rules", `${row.permission} on ${row.resource}`, { ...row }, seal);
  return row;
}

export async function insertApprovalRule(
  tx: Transaction,
  sealer: RowSealer,
  row: ApprovalRuleRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO approval_rules (permission, resource, required, group_name, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      row.permission,
      row.resource,
      row.required,
      row.groupName,
      row.createdBy,
      row.createdAt,
      sealer.seal("approval_rules", { ...row }),
    ],
  );
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteApprovalRule(
  tx: Transaction,
  sealer: RowSealer,
  row: ApprovalRuleRow,
  now: Date,
): Promise<void> {
  await tx.query("DELETE FROM approval_rules WHERE permission = $1 AND resource = $2", [
    row.permission,
    row.resource,
  ]);
  const place = `${row.permission}\n${row.resource}`;
  const withdrawnAt = later(now, row.createdAt);
  await insertWithdrawal(tx, sealer, { source: "approval_rules", place, withdrawnAt });
}

/** Of one permission, or of all where it is empty. */
export async function listApprovalRules(
  tx: Transaction,
  sealer: RowSealer,
  permission: string,
): Promise<ApprovalRuleRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM approval_rules WHERE $1 = '' OR permission = $1 ORDER BY permission, resource LIMIT $2`,
    [permission, rulesMax],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedApprovalRules: SealedTable = {
  name: "approval_rules",
  columns,
  key: [
    { column: "permission", type: "text" },
    { column: "resource", type: "text" },
  ],
  revision: (row: ApprovalRuleRow) => row.createdAt.getTime(),
  label: (row: ApprovalRuleRow) => `${row.permission} on ${row.resource}`,
  open,
};
