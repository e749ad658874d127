import type { Transaction } from "@claviger/database";

export interface RolloutRow {
  keyName: string;
  version: number;
  keyId: string;
  eventId: string;
  rotatedAt: Date;
}

export interface RolloutProgress {
  identity: string;
  acknowledgedAt: Date | null;
}

const columns = `key_name AS "keyName", version, key_id AS "keyId", event_id AS "eventId", rotated_at AS "rotatedAt"`;

export async function insertRollout(tx: Transaction, row: RolloutRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO rollouts (key_name, version, key_id, event_id, rotated_at) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.keyName, row.version, row.keyId, row.eventId, row.rotatedAt],
  );
  return inserted.length === 1;
}

export async function newestVersion(tx: Transaction, keyName: string, keyId: string): Promise<number> {
  const [row] = await tx.query<{ version: number | null }>(
    "SELECT max(version) AS version FROM rollouts WHERE key_name = $1 AND key_id = $2",
    [keyName, keyId],
  );
  return row?.version ?? 1;
}

export async function findRollout(
  tx: Transaction,
  keyName: string,
  version: number,
): Promise<RolloutRow | undefined> {
  const [row] = await tx.query<RolloutRow>(
    `SELECT ${columns} FROM rollouts WHERE key_name = $1 AND version = $2`,
    [keyName, version],
  );
  return row;
}

/** Every roll-out of one key, newest first; without a name, each key's newest. */
export async function listRollouts(
  tx: Transaction,
  filter: { keyName: string; after: string; limit: number },
): Promise<RolloutRow[]> {
  if (filter.keyName !== "") {
    return tx.query<RolloutRow>(
      `SELECT ${columns} FROM rollouts WHERE key_name = $1 AND version < $2 ORDER BY version DESC LIMIT $3`,
      [filter.keyName, filter.after === "" ? 2_147_483_647 : Number(filter.after), filter.limit],
    );
  }
  return tx.query<RolloutRow>(
    `SELECT DISTINCT ON (key_name) ${columns} FROM rollouts WHERE key_name > $1
     ORDER BY key_name, version DESC LIMIT $2`,
    [filter.after, filter.limit],
  );
}

/** Who has to acknowledge a roll-out: whoever had subscribed by then, and whoever did acknowledge. */
export async function progressOf(tx: Transaction, row: RolloutRow): Promise<RolloutProgress[]> {
  return tx.query<RolloutProgress>(
    `SELECT coalesce(s.identity, a.identity) AS identity, a.acknowledged_at AS "acknowledgedAt"
     FROM (SELECT identity FROM subscriptions WHERE key_name = $1 AND created_at <= $3) s
     FULL JOIN (SELECT identity, acknowledged_at FROM acknowledgements WHERE key_name = $1 AND version = $2) a
       ON s.identity = a.identity
     ORDER BY 1`,
    [row.keyName, row.version, row.rotatedAt],
  );
}

/** What a subscriber has not acknowledged yet, oldest first. */
export async function pendingFor(tx: Transaction, identity: string, keyName: string): Promise<RolloutRow[]> {
  return tx.query<RolloutRow>(
    `SELECT r.key_name AS "keyName", r.version, r.key_id AS "keyId", r.event_id AS "eventId",
       r.rotated_at AS "rotatedAt"
     FROM subscriptions s
     JOIN rollouts r ON r.key_name = s.key_name AND r.rotated_at >= s.created_at
     LEFT JOIN acknowledgements a
       ON a.identity = s.identity AND a.key_name = r.key_name AND a.version = r.version
     WHERE s.identity = $1 AND ($2 = '' OR s.key_name = $2) AND a.identity IS NULL
     ORDER BY r.rotated_at, r.key_name, r.version LIMIT 1000`,
    [identity, keyName],
  );
}

export async function insertAcknowledgement(
  tx: Transaction,
  row: { identity: string; keyName: string; version: number; at: Date },
): Promise<void> {
  await tx.query(
    `INSERT INTO acknowledgements (identity, key_name, version, acknowledged_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING`,
    [row.identity, row.keyName, row.version, row.at],
  );
}
