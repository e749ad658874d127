import type { Transaction } from "@claviger/database";

export interface SubscriptionRow {
  identity: string;
  keyName: string;
  createdAt: Date;
}

const columns = `identity, key_name AS "keyName", created_at AS "createdAt"`;

/** Subscribing again keeps the first date, from which roll-outs wait for this subscriber. */
export async function saveSubscription(tx: Transaction, row: SubscriptionRow): Promise<SubscriptionRow> {
  await tx.query(
    "INSERT INTO subscriptions (identity, key_name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    [row.identity, row.keyName, row.createdAt],
  );
  const [kept] = await tx.query<SubscriptionRow>(
    `SELECT ${columns} FROM subscriptions WHERE identity = $1 AND key_name = $2`,
    [row.identity, row.keyName],
  );
  return kept ?? row;
}

export async function deleteSubscription(
  tx: Transaction,
  identity: string,
  keyName: string,
): Promise<boolean> {
  const deleted = await tx.query(
    "DELETE FROM subscriptions WHERE identity = $1 AND key_name = $2 RETURNING 1",
    [identity, keyName],
  );
  return deleted.length === 1;
}

export async function listSubscriptions(
  tx: Transaction,
  filter: { keyName: string; after: string; limit: number },
): Promise<SubscriptionRow[]> {
  return tx.query<SubscriptionRow>(
    `SELECT ${columns} FROM subscriptions WHERE ($1 = '' OR key_name = $1) AND key_name || ' ' || identity > $2
     ORDER BY key_name || ' ' || identity LIMIT $3`,
    [filter.keyName, filter.after, filter.limit],
  );
}

export async function isSubscribed(tx: Transaction, identity: string, keyName: string): Promise<boolean> {
  const rows = await tx.query("SELECT 1 FROM subscriptions WHERE identity = $1 AND key_name = $2", [
    identity,
    keyName,
  ]);
  return rows.length === 1;
}

export async function countSubscriptions(tx: Transaction, identity: string): Promise<number> {
  const [row] = await tx.query<{ count: string }>(
    "SELECT count(*) AS count FROM subscriptions WHERE identity = $1",
    [identity],
  );
  return Number(row?.count ?? 0);
}
