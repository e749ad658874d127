import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** Somebody holds a share of the recovery key, and knows what is asked of them. */
export interface AcknowledgementRow {
  recoveryKey: string;
  share: number;
  identity: string;
  acknowledgedAt: Date;
}

const columns = `recovery_key AS "recoveryKey", share, identity, acknowledged_at AS "acknowledgedAt", seal`;

/** Resolves to false where the same was said before. */
export async function insertAcknowledgement(
  tx: Transaction,
  sealer: RowSealer,
  row: AcknowledgementRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO custody_acknowledgements (recovery_key, share, identity, acknowledged_at, seal)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.recoveryKey,
      row.share,
      row.identity,
      row.acknowledgedAt,
      sealer.seal("custody_acknowledgements", { ...row }),
    ],
  );
  return inserted.length === 1;
}

/** In the order of the shares, the oldest first for each. */
export async function listAcknowledgements(
  tx: Transaction,
  sealer: RowSealer,
  recoveryKey: string,
  limit: number,
): Promise<AcknowledgementRow[]> {
  const rows = await tx.query<AcknowledgementRow & { seal: Buffer }>(
    `SELECT ${columns} FROM custody_acknowledgements WHERE recovery_key = $1
     ORDER BY share, acknowledged_at, identity LIMIT $2`,
    [recoveryKey, limit],
  );
  return rows.map((row) => open(sealer, row));
}

function open(
  sealer: RowSealer,
  { seal, ...row }: AcknowledgementRow & { seal: Buffer },
): AcknowledgementRow {
  const name = `share ${row.share} of ${row.recoveryKey}, ${row.identity}`;
  sealer.check("custody_acknowledgements", name, { ...row }, seal);
  return row;
}

export const sealedAcknowledgements: SealedTable = {
  name: "custody_acknowledgements",
  columns,
  key: [
    { column: "recovery_key", type: "text" },
    { column: "share", type: "integer" },
    { column: "identity", type: "text" },
  ],
  revision: (row: AcknowledgementRow) => row.acknowledgedAt.getTime(),
  open,
};
