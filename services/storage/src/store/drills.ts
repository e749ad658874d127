import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** A backup that somebody tried, and what came of it. */
export interface DrillRow {
  id: string;
  begunBy: string;
  /** As the backup's header says. */
  backupId: string;
  backupMadeAt: Date;
  begunAt: Date;
  endedAt: Date | null;
  outcome: "begun" | "proved" | "failed";
  reason: string;
  /** What was signed of it; empty where nothing was. */
  record: Buffer;
  signature: Buffer;
  signerVersion: number;
  /** 1, and one more with each change. */
  revision: number;
}

type Sealed = DrillRow & { seal: Buffer };

const columns = `id, begun_by AS "begunBy", backup_id AS "backupId", backup_made_at AS "backupMadeAt",
  begun_at AS "begunAt", ended_at AS "endedAt", outcome, reason, record, signature,
  signer_version AS "signerVersion", revision, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): DrillRow {
  sealer.check("drills", `drill ${row.id}`, { ...row }, seal);
  return row;
}

export async function insertDrill(tx: Transaction, sealer: RowSealer, row: DrillRow): Promise<void> {
  await tx.query(
    `INSERT INTO drills (id, begun_by, backup_id, backup_made_at, begun_at, ended_at, outcome, reason, record,
       signature, signer_version, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      row.id,
      row.begunBy,
      row.backupId,
      row.backupMadeAt,
      row.begunAt,
      row.endedAt,
      row.outcome,
      row.reason,
      row.record,
      row.signature,
      row.signerVersion,
      row.revision,
      sealer.seal("drills", { ...row }),
    ],
  );
}

/** Locked until the transaction ends. */
export async function lockDrill(
  tx: Transaction,
  sealer: RowSealer,
  id: string,
): Promise<DrillRow | undefined> {
  const [row] = await tx.query<Sealed>(`SELECT ${columns} FROM drills WHERE id = $1 FOR UPDATE`, [id]);
  return row === undefined ? undefined : open(sealer, row);
}

export async function updateDrill(tx: Transaction, sealer: RowSealer, changed: DrillRow): Promise<void> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE drills SET ended_at = $2, outcome = $3, reason = $4, record = $5, signature = $6, signer_version = $7,
       revision = $8, seal = $9 WHERE id = $1`,
    [
      row.id,
      row.endedAt,
      row.outcome,
      row.reason,
      row.record,
      row.signature,
      row.signerVersion,
      row.revision,
      sealer.seal("drills", { ...row }),
    ],
  );
}

/** The newest first. */
export async function listDrills(tx: Transaction, sealer: RowSealer, limit: number): Promise<DrillRow[]> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM drills ORDER BY begun_at DESC, id LIMIT $1`, [
    limit,
  ]);
  return rows.map((row) => open(sealer, row));
}

export const sealedDrills: SealedTable = {
  name: "drills",
  columns,
  key: [{ column: "id", type: "uuid" }],
  changes: true,
  revision: (row: DrillRow) => row.revision,
  label: (row: DrillRow) => `drill ${row.id}`,
  open,
};
