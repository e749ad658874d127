import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** One row, from the first start on. */
export interface InstallationRow {
  id: number;
  firstAdministrator: string;
  createdAt: Date;
}

/** Resolves to false where it is there already. */
export async function insertInstallation(
  tx: Transaction,
  sealer: RowSealer,
  row: InstallationRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO installation (id, first_administrator, created_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.id, row.firstAdministrator, row.createdAt, sealer.seal("installation", { ...row })],
  );
  return inserted.length === 1;
}

export async function isInstalled(tx: Transaction): Promise<boolean> {
  return (await tx.query("SELECT 1 FROM installation")).length > 0;
}

function open(sealer: RowSealer, { seal, ...row }: InstallationRow & { seal: Buffer }): InstallationRow {
  sealer.check("installation", "the installation", { ...row }, seal);
  return row;
}

export const sealedInstallation: SealedTable = {
  name: "installation",
  columns: `id, first_administrator AS "firstAdministrator", created_at AS "createdAt", seal`,
  key: [{ column: "id", type: "integer" }],
  revision: (row: InstallationRow) => row.createdAt.getTime(),
  open,
};
