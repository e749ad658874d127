import { isDomainError } from "@claviger/domain-error";
import { insertWithdrawal, type SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import type { Registry } from "../registry.ts";

export interface ScheduleRow {
  keyName: string;
  keyId: string;
  currentVersion: number;
  rotationPeriodSeconds: number;
  lastRotatedAt: Date;
  nextRotationAt: Date;
  claimedUntil: Date | null;
  lastError: string;
  /** Grows with each change: milliseconds, so that a row which comes again is newer than the one that went. */
  revision: number;
}

type Stored = Omit<ScheduleRow, "revision"> & { revision: string | number; seal: Buffer };

const columns = `key_name AS "keyName", key_id AS "keyId", current_version AS "currentVersion",
  rotation_period_seconds AS "rotationPeriodSeconds", last_rotated_at AS "lastRotatedAt",
  next_rotation_at AS "nextRotationAt", claimed_until AS "claimedUntil", last_error AS "lastError", revision, seal`;

function open(sealer: RowSealer, { seal, ...stored }: Stored): ScheduleRow {
  const row = { ...stored, revision: Number(stored.revision) };
  sealer.check("schedules", `the schedule of ${row.keyName}`, { ...row }, seal);
  return row;
}

export type Schedule = Omit<ScheduleRow, "lastError" | "claimedUntil" | "revision">;

/** As storage says it is, in the place of whatever is there. */
export async function saveSchedule({ sealer, tx }: Registry, schedule: Schedule): Promise<void> {
  const [known] = await tx.query<{ revision: string }>(
    "SELECT revision FROM schedules WHERE key_name = $1 FOR UPDATE",
    [schedule.keyName],
  );
  const [gone] = await tx.query<{ at: Date | null }>(
    "SELECT max(withdrawn_at) AS at FROM withdrawals WHERE source = 'schedules' AND place = $1",
    [schedule.keyName],
  );
  const revision = Math.max(Date.now(), Number(known?.revision ?? 0) + 1, (gone?.at?.getTime() ?? 0) + 1);
  const row: ScheduleRow = { ...schedule, claimedUntil: null, lastError: "", revision };
  await tx.query(
    `INSERT INTO schedules (key_name, key_id, current_version, rotation_period_seconds, last_rotated_at,
       next_rotation_at, claimed_until, last_error, revision, seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT (key_name) DO UPDATE SET key_id = $2, current_version = $3, rotation_period_seconds = $4,
       last_rotated_at = $5, next_rotation_at = $6, claimed_until = $7, last_error = $8, revision = $9, seal = $10`,
    [
      row.keyName,
      row.keyId,
      row.currentVersion,
      row.rotationPeriodSeconds,
      row.lastRotatedAt,
      row.nextRotationAt,
      row.claimedUntil,
      row.lastError,
      row.revision,
      sealer.seal("schedules", { ...row }),
    ],
  );
}

async function updateSchedule({ sealer, tx }: Registry, changed: ScheduleRow): Promise<void> {
  const row = { ...changed, revision: Math.max(Date.now(), changed.revision + 1) };
  await tx.query(
    "UPDATE schedules SET claimed_until = $2, last_error = $3, revision = $4, seal = $5 WHERE key_name = $1",
    [row.keyName, row.claimedUntil, row.lastError, row.revision, sealer.seal("schedules", { ...row })],
  );
}

/** Takes it away, and keeps that Claviger did. Where it is not there, that is well. */
export async function deleteSchedule({ sealer, tx }: Registry, keyName: string): Promise<void> {
  const [deleted] = await tx.query<{ revision: string }>(
    "DELETE FROM schedules WHERE key_name = $1 RETURNING revision",
    [keyName],
  );
  if (deleted === undefined) return;
  const withdrawnAt = new Date(Math.max(Date.now(), Number(deleted.revision)));
  await insertWithdrawal(tx, sealer, { source: "schedules", place: keyName, withdrawnAt });
}

/** How many due rows are looked at for one that is genuine: one that was tampered with must not hold up others. */
const dueRowsMax = 200;

/** Takes one rotation that is due, for `claimSeconds`: no other replica sees it meanwhile. */
export async function claimDue(
  registry: Registry,
  now: Date,
  claimSeconds: number,
): Promise<ScheduleRow | undefined> {
  const rows = await registry.tx.query<Stored>(
    `SELECT ${columns} FROM schedules
     WHERE next_rotation_at <= $1 AND (claimed_until IS NULL OR claimed_until < $1)
     ORDER BY next_rotation_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [now, dueRowsMax],
  );
  for (const stored of rows) {
    const row = genuine(registry.sealer, stored);
    if (row === undefined) continue;
    await updateSchedule(registry, { ...row, claimedUntil: new Date(now.getTime() + claimSeconds * 1000) });
    return row;
  }
  return undefined;
}

function genuine(sealer: RowSealer, stored: Stored): ScheduleRow | undefined {
  try {
    return open(sealer, stored);
  } catch (error) {
    if (isDomainError(error, "integrity")) return undefined;
    throw error;
  }
}

export async function noteFailure(
  registry: Registry,
  keyName: string,
  error: string,
  retryAt: Date,
): Promise<void> {
  const row = await findSchedule(registry, keyName, "lock");
  if (row === undefined) return;
  await updateSchedule(registry, { ...row, lastError: error.slice(0, 500), claimedUntil: retryAt });
}

export async function findSchedule(
  { sealer, tx }: Registry,
  keyName: string,
  lock: "read" | "lock" = "read",
): Promise<ScheduleRow | undefined> {
  const [row] = await tx.query<Stored>(
    `SELECT ${columns} FROM schedules WHERE key_name = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [keyName],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function listSchedules(
  { sealer, tx }: Registry,
  after: string,
  limit: number,
): Promise<ScheduleRow[]> {
  const rows = await tx.query<Stored>(
    `SELECT ${columns} FROM schedules WHERE key_name > $1 ORDER BY key_name LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedSchedules: SealedTable = {
  name: "schedules",
  columns,
  key: [{ column: "key_name", type: "text" }],
  changes: true,
  revision: (row: ScheduleRow) => row.revision,
  label: (row: ScheduleRow) => `the schedule of ${row.keyName}`,
  open,
};

/** Rows of before there were seals. */
export async function sealUnsealedSchedules({ sealer, tx }: Registry): Promise<number> {
  const rows = await tx.query<Stored>(`SELECT ${columns} FROM schedules WHERE seal = '' FOR UPDATE`);
  for (const { seal: _, ...stored } of rows) {
    await updateSchedule({ sealer, tx }, { ...stored, revision: Number(stored.revision) });
  }
  return rows.length;
}
