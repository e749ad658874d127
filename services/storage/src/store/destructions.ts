import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

export interface DestructionRow {
  keyId: string;
  /** Of the keyring's key: the newest that any of the material was under. 0 where there was none. */
  generation: number;
  destroyedAt: Date;
}

/** A replica of the generator has let go of the key, and cleared what it held of it. */
export interface DestructionAcknowledgementRow {
  keyId: string;
  replica: string;
  acknowledgedAt: Date;
}

type Sealed<Row> = Row & { seal: Buffer };
const columns = `key_id AS "keyId", generation, destroyed_at AS "destroyedAt", seal`;
const acknowledgementColumns = `key_id AS "keyId", replica, acknowledged_at AS "acknowledgedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed<DestructionRow>): DestructionRow {
  sealer.check("destructions", `the destruction of key ${row.keyId}`, { ...row }, seal);
  return row;
}

function openAcknowledgement(
  sealer: RowSealer,
  { seal, ...row }: Sealed<DestructionAcknowledgementRow>,
): DestructionAcknowledgementRow {
  const name = `the destruction of key ${row.keyId} at ${row.replica}`;
  sealer.check("destruction_acknowledgements", name, { ...row }, seal);
  return row;
}

export async function insertDestruction(
  tx: Transaction,
  sealer: RowSealer,
  row: DestructionRow,
): Promise<void> {
  await tx.query(
    "INSERT INTO destructions (key_id, generation, destroyed_at, seal) VALUES ($1, $2, $3, $4)",
    [row.keyId, row.generation, row.destroyedAt, sealer.seal("destructions", { ...row })],
  );
}

export async function findDestruction(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
): Promise<DestructionRow | undefined> {
  const [row] = await tx.query<Sealed<DestructionRow>>(
    `SELECT ${columns} FROM destructions WHERE key_id = $1`,
    [keyId],
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Said again, it changes nothing. */
export async function insertDestructionAcknowledgement(
  tx: Transaction,
  sealer: RowSealer,
  row: DestructionAcknowledgementRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO destruction_acknowledgements (key_id, replica, acknowledged_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING`,
    [row.keyId, row.replica, row.acknowledgedAt, sealer.seal("destruction_acknowledgements", { ...row })],
  );
}

export async function listDestructionAcknowledgements(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  limit: number,
): Promise<DestructionAcknowledgementRow[]> {
  const rows = await tx.query<Sealed<DestructionAcknowledgementRow>>(
    `SELECT ${acknowledgementColumns} FROM destruction_acknowledgements WHERE key_id = $1
     ORDER BY acknowledged_at, replica LIMIT $2`,
    [keyId, limit],
  );
  return rows.map((row) => openAcknowledgement(sealer, row));
}

export const sealedDestructions: SealedTable = {
  name: "destructions",
  columns,
  key: [{ column: "key_id", type: "uuid" }],
  revision: (row: DestructionRow) => row.destroyedAt.getTime(),
  open,
};

export const sealedDestructionAcknowledgements: SealedTable = {
  name: "destruction_acknowledgements",
  columns: acknowledgementColumns,
  key: [
    { column: "key_id", type: "uuid" },
    { column: "replica", type: "text" },
  ],
  revision: (row: DestructionAcknowledgementRow) => row.acknowledgedAt.getTime(),
  open: openAcknowledgement,
};
