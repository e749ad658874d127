import type { Transaction } from "@claviger/database";
import type { KeyName } from "../names.ts";

/** How many due rows are looked at for one that is genuine: a row that was tampered with must not hold up others. */
const dueRowsMax = 200;
const dueVersionsMax = 500;

const due = {
  purge: {
    where: "destroy_at <= $1 AND state <> 'destroyed'",
    order: "destroy_at",
  },
  activation: { where: "state = 'pre-activation' AND activate_at <= $1", order: "activate_at" },
  expiry: {
    where: "expire_at IS NOT NULL AND state IN ('active', 'suspended') AND expire_at <= $1",
    order: "expire_at",
  },
} as const;

/** What of a key is due by a date: its purge, or a move of the key itself. */
export type DueOfKey = keyof typeof due;
/** Or of one of its versions. */
export type DueOfVersion = Exclude<DueOfKey, "purge">;

/** Keys of which something is due, locked; those that another replica works on are skipped. */
export async function lockDueKeys(tx: Transaction, what: DueOfKey, now: Date): Promise<KeyName[]> {
  const { order, where } = due[what];
  return tx.query<KeyName>(
    `SELECT keyring, name AS key FROM keys WHERE ${where} ORDER BY ${order} LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [now, dueRowsMax],
  );
}

/** Keys of whose versions one is due, locked likewise. */
export async function lockKeysOfDueVersions(
  tx: Transaction,
  what: DueOfVersion,
  now: Date,
): Promise<KeyName[]> {
  const { order, where } = due[what];
  return tx.query<KeyName>(
    `SELECT keyring, name AS key FROM keys
     WHERE state <> 'destroyed' AND id IN (SELECT key_id FROM key_versions WHERE ${where} ORDER BY ${order} LIMIT $2)
     FOR UPDATE SKIP LOCKED`,
    [now, dueRowsMax],
  );
}

/** The versions of one key that are due, in their order. */
export async function dueVersionsOf(tx: Transaction, keyId: string, now: Date): Promise<number[]> {
  const rows = await tx.query<{ version: number }>(
    `SELECT version FROM key_versions
     WHERE key_id = $2 AND ((${due.activation.where}) OR (${due.expiry.where})) ORDER BY version LIMIT $3`,
    [now, keyId, dueVersionsMax],
  );
  return rows.map(({ version }) => version);
}
