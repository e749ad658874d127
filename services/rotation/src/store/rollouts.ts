import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import type { Registry } from "../registry.ts";
import { acknowledgementsOf } from "./acknowledgements.ts";
import { subscribersBy } from "./subscriptions.ts";

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

type Sealed = RolloutRow & { seal: Buffer };
const columns = `key_name AS "keyName", version, key_id AS "keyId", event_id AS "eventId",
  rotated_at AS "rotatedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): RolloutRow {
  sealer.check("rollouts", `the roll-out of ${row.keyName}@${row.version}`, { ...row }, seal);
  return row;
}

export async function insertRollout({ sealer, tx }: Registry, row: RolloutRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO rollouts (key_name, version, key_id, event_id, rotated_at, seal) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.keyName, row.version, row.keyId, row.eventId, row.rotatedAt, sealer.seal("rollouts", { ...row })],
  );
  return inserted.length === 1;
}

export async function newestVersion({ tx }: Registry, keyName: string, keyId: string): Promise<number> {
  const [row] = await tx.query<{ version: number | null }>(
    "SELECT max(version) AS version FROM rollouts WHERE key_name = $1 AND key_id = $2",
    [keyName, keyId],
  );
  return row?.version ?? 1;
}

export async function findRollout(
  { sealer, tx }: Registry,
  keyName: string,
  version: number,
): Promise<RolloutRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM rollouts WHERE key_name = $1 AND version = $2`,
    [keyName, version],
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Every roll-out of one key, newest first; without a name, each key's newest. */
export async function listRollouts(
  { sealer, tx }: Registry,
  filter: { keyName: string; after: string; limit: number },
): Promise<RolloutRow[]> {
  const rows =
    filter.keyName === ""
      ? await tx.query<Sealed>(
          `SELECT DISTINCT ON (key_name) ${columns} FROM rollouts WHERE key_name > $1
           ORDER BY key_name, version DESC LIMIT $2`,
          [filter.after, filter.limit],
        )
      : await tx.query<Sealed>(
          `SELECT ${columns} FROM rollouts WHERE key_name = $1 AND version < $2 ORDER BY version DESC LIMIT $3`,
          [filter.keyName, filter.after === "" ? 2_147_483_647 : Number(filter.after), filter.limit],
        );
  return rows.map((row) => open(sealer, row));
}

/** Who has to acknowledge a roll-out: whoever had subscribed by then, and whoever did acknowledge. */
export async function progressOf(registry: Registry, row: RolloutRow): Promise<RolloutProgress[]> {
  const subscribers = await subscribersBy(registry, row.keyName, row.rotatedAt);
  const acknowledged = await acknowledgementsOf(registry, row.keyName, row.version);
  const progress = new Map<string, Date | null>(subscribers.map(({ identity }) => [identity, null]));
  for (const { acknowledgedAt, identity } of acknowledged) progress.set(identity, acknowledgedAt);
  return [...progress]
    .map(([identity, acknowledgedAt]) => ({ identity, acknowledgedAt }))
    .sort((a, b) => (a.identity < b.identity ? -1 : 1));
}

/**
 * What a subscriber has not acknowledged yet, oldest first. Whoever writes the database can hide one with a forged
 * acknowledgement: that row is refused where the roll-out's progress is read, and found by the scan.
 */
export async function pendingFor(
  { sealer, tx }: Registry,
  identity: string,
  keyName: string,
): Promise<RolloutRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT r.key_name AS "keyName", r.version, r.key_id AS "keyId", r.event_id AS "eventId",
       r.rotated_at AS "rotatedAt", r.seal
     FROM subscriptions s
     JOIN rollouts r ON r.key_name = s.key_name AND r.rotated_at >= s.created_at
     LEFT JOIN acknowledgements a
       ON a.identity = s.identity AND a.key_name = r.key_name AND a.version = r.version
     WHERE s.identity = $1 AND ($2 = '' OR s.key_name = $2) AND a.identity IS NULL
     ORDER BY r.rotated_at, r.key_name, r.version LIMIT 1000`,
    [identity, keyName],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedRollouts: SealedTable = {
  name: "rollouts",
  columns,
  key: [
    { column: "key_name", type: "text" },
    { column: "version", type: "integer" },
  ],
  revision: (row: RolloutRow) => row.rotatedAt.getTime(),
  label: (row: RolloutRow) => `the roll-out of ${row.keyName}@${row.version}`,
  open,
};

/** Rows of before there were seals. */
export async function sealUnsealedRollouts(tx: Transaction, sealer: RowSealer): Promise<number> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM rollouts WHERE seal = '' FOR UPDATE`);
  for (const { seal: _, ...row } of rows) {
    await tx.query("UPDATE rollouts SET seal = $3 WHERE key_name = $1 AND version = $2", [
      row.keyName,
      row.version,
      sealer.seal("rollouts", { ...row }),
    ]);
  }
  return rows.length;
}
