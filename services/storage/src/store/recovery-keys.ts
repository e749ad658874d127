import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** A recovery key, from when on new generations of keyrings' keys are wrapped for it; numbered from 1. */
export interface RecoveryKeyRow {
  number: number;
  recoveryKey: string;
  adoptedAt: Date;
}

const columns = `number, recovery_key AS "recoveryKey", adopted_at AS "adoptedAt", seal`;

/** The newest, if there is any. Until the transaction ends nobody else changes that; `alone` to change it. */
export async function lockRecoveryKey(
  tx: Transaction,
  sealer: RowSealer,
  how: "shared" | "alone",
): Promise<RecoveryKeyRow | undefined> {
  for (;;) {
    const newest = await newestRecoveryKey(tx, sealer);
    if (newest === undefined) return undefined;
    await tx.query(
      `SELECT 1 FROM recovery_keys WHERE number = $1 ${how === "alone" ? "FOR UPDATE" : "FOR SHARE"}`,
      [newest.number],
    );
    // Whoever held the lock until now may have added the next.
    if ((await newestRecoveryKey(tx, sealer))?.number === newest.number) return newest;
  }
}

async function newestRecoveryKey(tx: Transaction, sealer: RowSealer): Promise<RecoveryKeyRow | undefined> {
  const [row] = await tx.query<RecoveryKeyRow & { seal: Buffer }>(
    `SELECT ${columns} FROM recovery_keys ORDER BY number DESC LIMIT 1`,
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Resolves to false where there is one of that number already. */
export async function insertRecoveryKey(
  tx: Transaction,
  sealer: RowSealer,
  row: RecoveryKeyRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO recovery_keys (number, recovery_key, adopted_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.number, row.recoveryKey, row.adoptedAt, sealer.seal("recovery_keys", { ...row })],
  );
  return inserted.length === 1;
}

function open(sealer: RowSealer, { seal, ...row }: RecoveryKeyRow & { seal: Buffer }): RecoveryKeyRow {
  sealer.check("recovery_keys", row.recoveryKey, { ...row }, seal);
  return row;
}

export const sealedRecoveryKeys: SealedTable = {
  name: "recovery_keys",
  columns,
  key: [{ column: "number", type: "integer" }],
  revision: (row: RecoveryKeyRow) => row.adoptedAt.getTime(),
  open,
};
