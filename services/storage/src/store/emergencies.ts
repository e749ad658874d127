import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

export interface EmergencyRow {
  id: string;
  identity: string;
  role: string;
  resource: string;
  reason: string;
  openedAt: Date;
  expiresAt: Date;
  endedAt: Date | null;
  /** Empty where its time ended it, or nothing has yet. */
  endedBy: string;
  reviewedAt: Date | null;
  reviewedBy: string;
  justified: boolean;
  note: string;
  /** 1, and one more with each change. */
  revision: number;
}

export type EmergencyState = "open" | "ended" | "reviewed";

/** So many of one identity wait for their review at most. */
export const unreviewedMax = 10;

export function stateOfEmergency(row: EmergencyRow, now: Date): EmergencyState {
  if (row.reviewedAt !== null) return "reviewed";
  return row.endedAt !== null || row.expiresAt <= now ? "ended" : "open";
}

type Sealed = EmergencyRow & { seal: Buffer };
const columns = `id, identity, role, resource, reason, opened_at AS "openedAt", expires_at AS "expiresAt",
  ended_at AS "endedAt", ended_by AS "endedBy", reviewed_at AS "reviewedAt", reviewed_by AS "reviewedBy", justified,
  note, revision, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): EmergencyRow {
  sealer.check("emergencies", `emergency ${row.id}`, { ...row }, seal);
  return row;
}

export async function insertEmergency(tx: Transaction, sealer: RowSealer, row: EmergencyRow): Promise<void> {
  await tx.query(
    `INSERT INTO emergencies (id, identity, role, resource, reason, opened_at, expires_at, ended_at, ended_by,
       reviewed_at, reviewed_by, justified, note, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      row.id,
      row.identity,
      row.role,
      row.resource,
      row.reason,
      row.openedAt,
      row.expiresAt,
      row.endedAt,
      row.endedBy,
      row.reviewedAt,
      row.reviewedBy,
      row.justified,
      row.note,
      row.revision,
      sealer.seal("emergencies", { ...row }),
    ],
  );
}

/** Its end, or its review; `revision` goes up by one. */
export async function updateEmergency(
  tx: Transaction,
  sealer: RowSealer,
  changed: EmergencyRow,
): Promise<EmergencyRow> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE emergencies SET ended_at = $2, ended_by = $3, reviewed_at = $4, reviewed_by = $5, justified = $6,
       note = $7, revision = $8, seal = $9 WHERE id = $1`,
    [
      row.id,
      row.endedAt,
      row.endedBy,
      row.reviewedAt,
      row.reviewedBy,
      row.justified,
      row.note,
      row.revision,
      sealer.seal("emergencies", { ...row }),
    ],
  );
  return row;
}

export async function lockEmergency(
  tx: Transaction,
  sealer: RowSealer,
  id: string,
): Promise<EmergencyRow | undefined> {
  const [row] = await tx.query<Sealed>(`SELECT ${columns} FROM emergencies WHERE id = $1 FOR UPDATE`, [id]);
  return row && open(sealer, row);
}

/** Of one identity those that nobody has reviewed; there are few. */
export async function unreviewedOf(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
  limit: number,
): Promise<EmergencyRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM emergencies WHERE identity = $1 AND reviewed_at IS NULL ORDER BY opened_at DESC LIMIT $2`,
    [identity, limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** One whose time is over and that nobody has ended, locked. */
export async function lockExpired(
  tx: Transaction,
  sealer: RowSealer,
  now: Date,
): Promise<EmergencyRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM emergencies WHERE reviewed_at IS NULL AND ended_at IS NULL AND expires_at <= $1
     ORDER BY expires_at LIMIT 1 FOR UPDATE SKIP LOCKED`,
    [now],
  );
  return row && open(sealer, row);
}

/** Of one identity, or of all where it is empty; the newest first. */
export async function listEmergencies(
  tx: Transaction,
  sealer: RowSealer,
  filter: { identity: string; unreviewed: boolean; limit: number },
): Promise<EmergencyRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM emergencies
     WHERE ($1 = '' OR identity = $1) AND (NOT $2 OR reviewed_at IS NULL) ORDER BY opened_at DESC, id LIMIT $3`,
    [filter.identity, filter.unreviewed, filter.limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** For the status alone: how many are open, and how many have ended and wait for a review. */
export async function countEmergencies(
  tx: Transaction,
  now: Date,
): Promise<{ open: number; unreviewed: number }> {
  const [row] = await tx.query<{ open: string; unreviewed: string }>(
    `SELECT count(*) FILTER (WHERE ended_at IS NULL AND expires_at > $1) AS open,
       count(*) FILTER (WHERE ended_at IS NOT NULL OR expires_at <= $1) AS unreviewed
     FROM emergencies WHERE reviewed_at IS NULL`,
    [now],
  );
  return { open: Number(row?.open), unreviewed: Number(row?.unreviewed) };
}

export const sealedEmergencies: SealedTable = {
  name: "emergencies",
  columns,
  key: [{ column: "id", type: "uuid" }],
  changes: true,
  revision: (row: EmergencyRow) => row.revision,
  label: (row: EmergencyRow) => `emergency ${row.id}`,
  open,
};
