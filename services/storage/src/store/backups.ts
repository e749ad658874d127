import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** A backup that was vouched for; where its file is, nobody here knows. */
export interface BackupRow {
  id: string;
  madeBy: string;
  madeAt: Date;
  /** From then on every copy of it is to be gone. */
  expiresAt: Date;
  recoveryKey: string;
  /** SHA-256. */
  manifest: Buffer;
}

type Sealed = BackupRow & { seal: Buffer };
const columns = `id, made_by AS "madeBy", made_at AS "madeAt", expires_at AS "expiresAt",
  recovery_key AS "recoveryKey", manifest, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): BackupRow {
  sealer.check("backups", `backup ${row.id}`, { ...row }, seal);
  return row;
}

/** Resolves to false where it is there already. */
export async function insertBackup(tx: Transaction, sealer: RowSealer, row: BackupRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO backups (id, made_by, made_at, expires_at, recovery_key, manifest, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.id,
      row.madeBy,
      row.madeAt,
      row.expiresAt,
      row.recoveryKey,
      row.manifest,
      sealer.seal("backups", { ...row }),
    ],
  );
  return inserted.length === 1;
}

/** The newest first. */
export async function listBackups(tx: Transaction, sealer: RowSealer, limit: number): Promise<BackupRow[]> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM backups ORDER BY made_at DESC, id LIMIT $1`, [
    limit,
  ]);
  return rows.map((row) => open(sealer, row));
}

/** Of those made before `before`, the one that lasts longest. */
export async function lastToExpire(
  tx: Transaction,
  sealer: RowSealer,
  before: Date,
): Promise<BackupRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM backups WHERE made_at <= $1 ORDER BY expires_at DESC LIMIT 1`,
    [before],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export const sealedBackups: SealedTable = {
  name: "backups",
  columns,
  key: [{ column: "id", type: "uuid" }],
  revision: (row: BackupRow) => row.madeAt.getTime(),
  open,
};
