import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface KeyGroupRow {
  name: string;
  generation: number;
  members: number;
  createdAt: Date;
  renewedAt: Date;
}

/** The generator's own, with its MAC. */
export interface GenerationRow {
  generation: number;
  record: string;
  mac: Buffer;
}

type Sealed = KeyGroupRow & { seal: Buffer };

const columns = `name, generation, members, created_at AS "createdAt", renewed_at AS "renewedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): KeyGroupRow {
  sealer.check("key_groups", `group ${row.name}`, { ...row }, seal);
  return row;
}

export async function findGroup(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  lock: "read" | "lock" = "read",
): Promise<KeyGroupRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_groups WHERE name = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [name],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function listGroups(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<KeyGroupRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_groups WHERE name > $1 ORDER BY name LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** False where there is one of this name. */
export async function insertGroup(tx: Transaction, sealer: RowSealer, row: KeyGroupRow): Promise<boolean> {
  const made = await tx.query(
    `INSERT INTO key_groups (name, generation, members, created_at, renewed_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.name,
      row.generation,
      row.members,
      row.createdAt,
      row.renewedAt,
      sealer.seal("key_groups", { ...row }),
    ],
  );
  return made.length > 0;
}

export async function updateGroup(tx: Transaction, sealer: RowSealer, row: KeyGroupRow): Promise<void> {
  await tx.query(
    "UPDATE key_groups SET generation = $2, members = $3, renewed_at = $4, seal = $5 WHERE name = $1",
    [row.name, row.generation, row.members, row.renewedAt, sealer.seal("key_groups", { ...row })],
  );
}

export async function insertGroupGeneration(
  tx: Transaction,
  name: string,
  { generation, mac, record }: GenerationRow,
  keptMax: number,
): Promise<void> {
  await tx.query(
    "INSERT INTO key_group_generations (name, generation, record, mac) VALUES ($1, $2, $3, $4)",
    [name, generation, record, mac],
  );
  await tx.query("DELETE FROM key_group_generations WHERE name = $1 AND generation <= $2", [
    name,
    generation - keptMax,
  ]);
}

/** Oldest first, from one generation on. */
export async function groupGenerations(
  tx: Transaction,
  name: string,
  from: number,
  limit: number,
): Promise<GenerationRow[]> {
  return tx.query<GenerationRow>(
    `SELECT generation, record, mac FROM key_group_generations WHERE name = $1 AND generation >= $2
     ORDER BY generation LIMIT $3`,
    [name, from, limit],
  );
}

export const sealedKeyGroups: SealedTable = {
  name: "key_groups",
  columns,
  key: [{ column: "name", type: "text" }],
  changes: true,
  revision: (row: KeyGroupRow) => row.generation,
  label: (row: KeyGroupRow) => `group ${row.name}`,
  open,
};
