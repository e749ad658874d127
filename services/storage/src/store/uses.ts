import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

export interface UsesRow {
  keyId: string;
  version: number;
  reserved: number;
  usesMax: number;
}

type Stored = { keyId: string; version: number; reserved: string; usesMax: string; seal: Buffer };

const columns = `key_id AS "keyId", version, reserved, uses_max AS "usesMax", seal`;

function open(sealer: RowSealer, { seal, ...stored }: Stored): UsesRow {
  const row = { ...stored, reserved: Number(stored.reserved), usesMax: Number(stored.usesMax) };
  sealer.check("key_uses", `the uses of version ${row.version} of key ${row.keyId}`, { ...row }, seal);
  return row;
}

export async function insertUses(tx: Transaction, sealer: RowSealer, row: UsesRow): Promise<void> {
  await tx.query(
    "INSERT INTO key_uses (key_id, version, reserved, uses_max, seal) VALUES ($1, $2, $3, $4, $5)",
    [row.keyId, row.version, row.reserved, row.usesMax, sealer.seal("key_uses", { ...row })],
  );
}

export async function updateUses(tx: Transaction, sealer: RowSealer, row: UsesRow): Promise<void> {
  await tx.query("UPDATE key_uses SET reserved = $3, seal = $4 WHERE key_id = $1 AND version = $2", [
    row.keyId,
    row.version,
    row.reserved,
    sealer.seal("key_uses", { ...row }),
  ]);
}

/** Undefined where the version's algorithm has no bound. */
export async function findUses(
  tx: Transaction,
  sealer: RowSealer,
  of: { keyId: string; version: number },
  lock: "read" | "lock" = "read",
): Promise<UsesRow | undefined> {
  const [row] = await tx.query<Stored>(
    `SELECT ${columns} FROM key_uses WHERE key_id = $1 AND version = $2 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [of.keyId, of.version],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function listUses(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  versions: readonly number[],
): Promise<UsesRow[]> {
  const rows = await tx.query<Stored>(
    `SELECT ${columns} FROM key_uses WHERE key_id = $1 AND version = ANY($2)`,
    [keyId, versions],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedUses: SealedTable = {
  name: "key_uses",
  columns,
  key: [
    { column: "key_id", type: "uuid" },
    { column: "version", type: "integer" },
  ],
  changes: true,
  revision: (row: UsesRow) => row.reserved,
  open,
};
