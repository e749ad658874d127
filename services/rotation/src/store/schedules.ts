import type { Transaction } from "@claviger/database";

export interface ScheduleRow {
  keyName: string;
  keyId: string;
  currentVersion: number;
  rotationPeriodSeconds: number;
  lastRotatedAt: Date;
  nextRotationAt: Date;
  lastError: string;
}

const columns = `key_name AS "keyName", key_id AS "keyId", current_version AS "currentVersion",
  rotation_period_seconds AS "rotationPeriodSeconds", last_rotated_at AS "lastRotatedAt",
  next_rotation_at AS "nextRotationAt", last_error AS "lastError"`;

export async function saveSchedule(tx: Transaction, row: Omit<ScheduleRow, "lastError">): Promise<void> {
  await tx.query(
    `INSERT INTO schedules (key_name, key_id, current_version, rotation_period_seconds, last_rotated_at,
       next_rotation_at) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (key_name) DO UPDATE SET key_id = $2, current_version = $3, rotation_period_seconds = $4,
       last_rotated_at = $5, next_rotation_at = $6, claimed_until = NULL, last_error = ''`,
    [
      row.keyName,
      row.keyId,
      row.currentVersion,
      row.rotationPeriodSeconds,
      row.lastRotatedAt,
      row.nextRotationAt,
    ],
  );
}

export async function deleteSchedule(tx: Transaction, keyName: string): Promise<void> {
  await tx.query("DELETE FROM schedules WHERE key_name = $1", [keyName]);
}

/** Takes one rotation that is due, for `claimSeconds`: no other replica sees it meanwhile. */
export async function claimDue(
  tx: Transaction,
  now: Date,
  claimSeconds: number,
): Promise<ScheduleRow | undefined> {
  const [row] = await tx.query<ScheduleRow>(
    `SELECT ${columns} FROM schedules
     WHERE next_rotation_at <= $1 AND (claimed_until IS NULL OR claimed_until < $1)
     ORDER BY next_rotation_at LIMIT 1 FOR UPDATE SKIP LOCKED`,
    [now],
  );
  if (row === undefined) return undefined;
  await tx.query("UPDATE schedules SET claimed_until = $2 WHERE key_name = $1", [
    row.keyName,
    new Date(now.getTime() + claimSeconds * 1000),
  ]);
  return row;
}

export async function noteFailure(
  tx: Transaction,
  keyName: string,
  error: string,
  retryAt: Date,
): Promise<void> {
  await tx.query("UPDATE schedules SET last_error = $2, claimed_until = $3 WHERE key_name = $1", [
    keyName,
    error.slice(0, 500),
    retryAt,
  ]);
}

export async function findSchedule(tx: Transaction, keyName: string): Promise<ScheduleRow | undefined> {
  const [row] = await tx.query<ScheduleRow>(`SELECT ${columns} FROM schedules WHERE key_name = $1`, [
    keyName,
  ]);
  return row;
}

export async function listSchedules(tx: Transaction, after: string, limit: number): Promise<ScheduleRow[]> {
  return tx.query<ScheduleRow>(
    `SELECT ${columns} FROM schedules WHERE key_name > $1 ORDER BY key_name LIMIT $2`,
    [after, limit],
  );
}
