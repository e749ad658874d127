import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface RecipientRow {
  identity: string;
  publicKey: Buffer;
  /** The generator's, with its MAC. */
  record: string;
  mac: Buffer;
  registeredAt: Date;
  notAfter: Date;
  revision: number;
}

type Sealed = RecipientRow & { seal: Buffer };

const columns = `identity, public_key AS "publicKey", record, mac, registered_at AS "registeredAt",
  not_after AS "notAfter", revision, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): RecipientRow {
  sealer.check("recipients", `the recipient key of ${row.identity}`, { ...row }, seal);
  return row;
}

export async function findRecipient(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
  lock: "read" | "lock" = "read",
): Promise<RecipientRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM recipients WHERE identity = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [identity],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function saveRecipient(tx: Transaction, sealer: RowSealer, row: RecipientRow): Promise<void> {
  await tx.query(
    `INSERT INTO recipients (identity, public_key, record, mac, registered_at, not_after, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (identity) DO UPDATE SET public_key = $2, record = $3, mac = $4, registered_at = $5,
       not_after = $6, revision = $7, seal = $8`,
    [
      row.identity,
      row.publicKey,
      row.record,
      row.mac,
      row.registeredAt,
      row.notAfter,
      row.revision,
      sealer.seal("recipients", { ...row }),
    ],
  );
}

export async function listRecipients(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<RecipientRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM recipients WHERE identity > $1 ORDER BY identity LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedRecipients: SealedTable = {
  name: "recipients",
  columns,
  key: [{ column: "identity", type: "text" }],
  changes: true,
  revision: (row: RecipientRow) => row.revision,
  label: (row: RecipientRow) => `the recipient key of ${row.identity}`,
  open,
};
