import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";
import { insertWithdrawal, later } from "./withdrawals.ts";

const allMembersMax = 20_000;

export interface GroupMemberRow {
  groupName: string;
  identity: string;
  addedBy: string;
  addedAt: Date;
}

type Sealed = GroupMemberRow & { seal: Buffer };
const columns = `group_name AS "groupName", identity, added_by AS "addedBy", added_at AS "addedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): GroupMemberRow {
  sealer.check("group_members", `${row.identity} in group ${row.groupName}`, { ...row }, seal);
  return row;
}

/** Resolves to false where it is a member already. */
export async function insertGroupMember(
  tx: Transaction,
  sealer: RowSealer,
  row: GroupMemberRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO group_members (group_name, identity, added_by, added_at, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.groupName, row.identity, row.addedBy, row.addedAt, sealer.seal("group_members", { ...row })],
  );
  return inserted.length === 1;
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteGroupMember(
  tx: Transaction,
  sealer: RowSealer,
  row: GroupMemberRow,
  now: Date,
): Promise<void> {
  await tx.query("DELETE FROM group_members WHERE group_name = $1 AND identity = $2", [
    row.groupName,
    row.identity,
  ]);
  const place = `${row.groupName}\n${row.identity}`;
  await insertWithdrawal(tx, sealer, {
    source: "group_members",
    place,
    withdrawnAt: later(now, row.addedAt),
  });
}

/** Of one identity. */
export async function membershipsOf(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
): Promise<GroupMemberRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM group_members WHERE identity = $1 ORDER BY group_name LIMIT 1000`,
    [identity],
  );
  return rows.map((row) => open(sealer, row));
}

/** Of one group, or of all where it is empty. */
export async function listGroupMembers(
  tx: Transaction,
  sealer: RowSealer,
  group: string,
  limit: number,
): Promise<GroupMemberRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM group_members WHERE $1 = '' OR group_name = $1 ORDER BY group_name, identity LIMIT $2`,
    [group, limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** Of all groups, to be looked at together. @throws DomainError `exhausted` past the bound */
export async function allGroupMembers(tx: Transaction, sealer: RowSealer): Promise<GroupMemberRow[]> {
  const rows = await listGroupMembers(tx, sealer, "", allMembersMax + 1);
  if (rows.length <= allMembersMax) return rows;
  throw new DomainError(
    "exhausted",
    `there are more than ${allMembersMax} members of groups to look at together`,
  );
}

export const sealedGroupMembers: SealedTable = {
  name: "group_members",
  columns,
  key: [
    { column: "group_name", type: "text" },
    { column: "identity", type: "text" },
  ],
  revision: (row: GroupMemberRow) => row.addedAt.getTime(),
  label: (row: GroupMemberRow) => `${row.identity} in group ${row.groupName}`,
  open,
};
