import type { Transaction } from "@claviger/database";
import { insertWithdrawal, later, type SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import type { Registry } from "../registry.ts";

export interface SubscriptionRow {
  identity: string;
  keyName: string;
  createdAt: Date;
}

type Sealed = SubscriptionRow & { seal: Buffer };
const columns = `identity, key_name AS "keyName", created_at AS "createdAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): SubscriptionRow {
  sealer.check("subscriptions", `${row.identity}'s subscription to ${row.keyName}`, { ...row }, seal);
  return row;
}

/** Subscribing again keeps the first date, from which roll-outs wait for this subscriber. */
export async function saveSubscription(registry: Registry, row: SubscriptionRow): Promise<SubscriptionRow> {
  const { sealer, tx } = registry;
  const known = await findSubscription(registry, row.identity, row.keyName);
  if (known !== undefined) return known;
  const inserted = await tx.query(
    `INSERT INTO subscriptions (identity, key_name, created_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [row.identity, row.keyName, row.createdAt, sealer.seal("subscriptions", { ...row })],
  );
  return inserted.length === 1 ? row : ((await findSubscription(registry, row.identity, row.keyName)) ?? row);
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteSubscription(
  { sealer, tx }: Registry,
  identity: string,
  keyName: string,
): Promise<boolean> {
  const [deleted] = await tx.query<{ createdAt: Date }>(
    `DELETE FROM subscriptions WHERE identity = $1 AND key_name = $2 RETURNING created_at AS "createdAt"`,
    [identity, keyName],
  );
  if (deleted === undefined) return false;
  const withdrawnAt = later(new Date(), deleted.createdAt);
  await insertWithdrawal(tx, sealer, {
    source: "subscriptions",
    place: `${identity}\n${keyName}`,
    withdrawnAt,
  });
  return true;
}

export async function listSubscriptions(
  { sealer, tx }: Registry,
  filter: { keyName: string; after: string; limit: number },
): Promise<SubscriptionRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM subscriptions WHERE ($1 = '' OR key_name = $1) AND key_name || ' ' || identity > $2
     ORDER BY key_name || ' ' || identity LIMIT $3`,
    [filter.keyName, filter.after, filter.limit],
  );
  return rows.map((row) => open(sealer, row));
}

export async function findSubscription(
  { sealer, tx }: Registry,
  identity: string,
  keyName: string,
): Promise<SubscriptionRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM subscriptions WHERE identity = $1 AND key_name = $2`,
    [identity, keyName],
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Of a key those who had subscribed by then. */
export async function subscribersBy(
  { sealer, tx }: Registry,
  keyName: string,
  by: Date,
): Promise<SubscriptionRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM subscriptions WHERE key_name = $1 AND created_at <= $2 ORDER BY identity`,
    [keyName, by],
  );
  return rows.map((row) => open(sealer, row));
}

export async function countSubscriptions({ tx }: Registry, identity: string): Promise<number> {
  const [row] = await tx.query<{ count: string }>(
    "SELECT count(*) AS count FROM subscriptions WHERE identity = $1",
    [identity],
  );
  return Number(row?.count ?? 0);
}

export const sealedSubscriptions: SealedTable = {
  name: "subscriptions",
  columns,
  key: [
    { column: "identity", type: "text" },
    { column: "key_name", type: "text" },
  ],
  revision: (row: SubscriptionRow) => row.createdAt.getTime(),
  label: (row: SubscriptionRow) => `${row.identity}'s subscription to ${row.keyName}`,
  open,
};

/** Rows of before there were seals. */
export async function sealUnsealedSubscriptions(tx: Transaction, sealer: RowSealer): Promise<number> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM subscriptions WHERE seal = '' FOR UPDATE`);
  for (const { seal: _, ...row } of rows) {
    await tx.query("UPDATE subscriptions SET seal = $3 WHERE identity = $1 AND key_name = $2", [
      row.identity,
      row.keyName,
      sealer.seal("subscriptions", { ...row }),
    ]);
  }
  return rows.length;
}
