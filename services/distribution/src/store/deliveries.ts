import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface DeliveryRow {
  id: string;
  recipient: string;
  keyName: string;
  keyVersion: number;
  algorithm: string;
  sender: string;
  format: string;
  signerVersion: number;
  /** A SealedDelivery; gone once the receipt is here. */
  sealed: Buffer | null;
  createdAt: Date;
  /** A SignedRequest. */
  receipt: Buffer | null;
  receivedAt: Date | null;
  revision: number;
}

type Sealed = DeliveryRow & { seal: Buffer };

const columns = `id, recipient, key_name AS "keyName", key_version AS "keyVersion", algorithm, sender, format,
  signer_version AS "signerVersion", sealed, created_at AS "createdAt", receipt, received_at AS "receivedAt",
  revision, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): DeliveryRow {
  sealer.check("deliveries", `delivery ${row.id}`, { ...row }, seal);
  return row;
}

export async function insertDelivery(tx: Transaction, sealer: RowSealer, row: DeliveryRow): Promise<void> {
  await tx.query(
    `INSERT INTO deliveries (id, recipient, key_name, key_version, algorithm, sender, format, signer_version,
       sealed, created_at, receipt, received_at, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
    [
      row.id,
      row.recipient,
      row.keyName,
      row.keyVersion,
      row.algorithm,
      row.sender,
      row.format,
      row.signerVersion,
      row.sealed,
      row.createdAt,
      row.receipt,
      row.receivedAt,
      row.revision,
      sealer.seal("deliveries", { ...row }),
    ],
  );
}

export async function findDelivery(
  tx: Transaction,
  sealer: RowSealer,
  id: string,
  lock: "read" | "lock" = "read",
): Promise<DeliveryRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM deliveries WHERE id = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [id],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function keepReceipt(tx: Transaction, sealer: RowSealer, row: DeliveryRow): Promise<void> {
  await tx.query(
    "UPDATE deliveries SET sealed = $2, receipt = $3, received_at = $4, revision = $5, seal = $6 WHERE id = $1",
    [row.id, row.sealed, row.receipt, row.receivedAt, row.revision, sealer.seal("deliveries", { ...row })],
  );
}

const firstId = "00000000-0000-0000-0000-000000000000";

export async function listDeliveries(
  tx: Transaction,
  sealer: RowSealer,
  { keyName, waitingFor }: { keyName?: string; waitingFor?: string },
  after: string,
  limit: number,
): Promise<DeliveryRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM deliveries WHERE id > $1::uuid AND ($2::text IS NULL OR key_name = $2)
       AND ($3::text IS NULL OR (recipient = $3 AND received_at IS NULL)) ORDER BY id LIMIT $4`,
    [after || firstId, keyName ?? null, waitingFor ?? null, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedDeliveries: SealedTable = {
  name: "deliveries",
  columns,
  key: [{ column: "id", type: "uuid" }],
  changes: true,
  revision: (row: DeliveryRow) => row.revision,
  label: (row: DeliveryRow) => `delivery ${row.id}`,
  open,
};
