import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface GroupMemberRow {
  name: string;
  identity: string;
  slot: number;
  joined: number;
}

export interface TreeNode {
  level: number;
  place: number;
  hash: Uint8Array;
}

type Sealed = GroupMemberRow & { seal: Buffer };

const columns = "name, identity, slot, joined, seal";

function open(sealer: RowSealer, { seal, ...row }: Sealed): GroupMemberRow {
  sealer.check("key_group_members", `${row.identity} in ${row.name}`, { ...row }, seal);
  return row;
}

export async function membersInSlots(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  slots: readonly number[],
): Promise<GroupMemberRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_group_members WHERE name = $1 AND slot = ANY($2::integer[])`,
    [name, slots],
  );
  return rows.map((row) => open(sealer, row));
}

export async function listMembers(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  after: string,
  limit: number,
): Promise<GroupMemberRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_group_members WHERE name = $1 AND identity > $2 ORDER BY identity LIMIT $3`,
    [name, after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export async function insertMembers(
  tx: Transaction,
  sealer: RowSealer,
  rows: readonly GroupMemberRow[],
): Promise<void> {
  await tx.query(
    `INSERT INTO key_group_members (name, identity, slot, joined, seal)
     SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::bytea[])`,
    [
      rows.map(({ name }) => name),
      rows.map(({ identity }) => identity),
      rows.map(({ slot }) => slot),
      rows.map(({ joined }) => joined),
      rows.map((row) => sealer.seal("key_group_members", { ...row })),
    ],
  );
}

export async function deleteMembers(
  tx: Transaction,
  name: string,
  identities: readonly string[],
): Promise<void> {
  await tx.query("DELETE FROM key_group_members WHERE name = $1 AND identity = ANY($2)", [name, identities]);
}

export async function readNodes(
  tx: Transaction,
  name: string,
  places: readonly { level: number; place: number }[],
): Promise<TreeNode[]> {
  return tx.query<TreeNode>(
    `SELECT level, place, hash FROM key_group_nodes WHERE name = $1
       AND (level, place) IN (SELECT * FROM unnest($2::integer[], $3::integer[]))`,
    [name, places.map(({ level }) => level), places.map(({ place }) => place)],
  );
}

export async function saveNodes(tx: Transaction, name: string, nodes: readonly TreeNode[]): Promise<void> {
  await tx.query(
    `INSERT INTO key_group_nodes (name, level, place, hash)
     SELECT $1, * FROM unnest($2::integer[], $3::integer[], $4::bytea[])
     ON CONFLICT (name, level, place) DO UPDATE SET hash = excluded.hash`,
    [
      name,
      nodes.map(({ level }) => level),
      nodes.map(({ place }) => place),
      nodes.map(({ hash }) => Buffer.from(hash)),
    ],
  );
}

/** Whoever left may join again; who is a member is verified against the root in the generator's own record. */
export const sealedGroupMembers: SealedTable = {
  name: "key_group_members",
  columns,
  key: [
    { column: "name", type: "text" },
    { column: "identity", type: "text" },
  ],
  unledgered: true,
  revision: (row: GroupMemberRow) => row.joined,
  open,
};
