import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import type { Registry } from "../registry.ts";

export interface AcknowledgementRow {
  identity: string;
  keyName: string;
  version: number;
  acknowledgedAt: Date;
}

type Sealed = AcknowledgementRow & { seal: Buffer };
const columns = `identity, key_name AS "keyName", version, acknowledged_at AS "acknowledgedAt", seal`;

function nameOf({ identity, keyName, version }: AcknowledgementRow): string {
  return `${identity}'s acknowledgement of ${keyName}@${version}`;
}

function open(sealer: RowSealer, { seal, ...row }: Sealed): AcknowledgementRow {
  sealer.check("acknowledgements", nameOf(row), { ...row }, seal);
  return row;
}

/** Said again, it changes nothing. */
export async function insertAcknowledgement(
  { sealer, tx }: Registry,
  row: AcknowledgementRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO acknowledgements (identity, key_name, version, acknowledged_at, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [row.identity, row.keyName, row.version, row.acknowledgedAt, sealer.seal("acknowledgements", { ...row })],
  );
}

export async function acknowledgementsOf(
  { sealer, tx }: Registry,
  keyName: string,
  version: number,
): Promise<AcknowledgementRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM acknowledgements WHERE key_name = $1 AND version = $2 ORDER BY identity`,
    [keyName, version],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedAcknowledgements: SealedTable = {
  name: "acknowledgements",
  columns,
  key: [
    { column: "identity", type: "text" },
    { column: "key_name", type: "text" },
    { column: "version", type: "integer" },
  ],
  revision: (row: AcknowledgementRow) => row.acknowledgedAt.getTime(),
  label: nameOf,
  open,
};

/** Rows of before there were seals. */
export async function sealUnsealedAcknowledgements(tx: Transaction, sealer: RowSealer): Promise<number> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM acknowledgements WHERE seal = '' FOR UPDATE`);
  for (const { seal: _, ...row } of rows) {
    await tx.query(
      "UPDATE acknowledgements SET seal = $4 WHERE identity = $1 AND key_name = $2 AND version = $3",
      [row.identity, row.keyName, row.version, sealer.seal("acknowledgements", { ...row })],
    );
  }
  return rows.length;
}
