import { randomUUID } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import { isDomainError } from "@claviger/domain-error";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { freshKey } from "./freshness.ts";
import { settleDates } from "./key-dates.ts";
import { purge } from "./key-lifecycle.ts";
import type { KeyName } from "./names.ts";
import { fullName, type Registry } from "./registry.ts";
import { lockDueKeys, lockKeysOfDueVersions } from "./store/due-keys.ts";
import type { KeyRow } from "./store/keys.ts";

export interface PurgeOptions {
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  onPurged: (name: string) => void;
}

/**
 * Ends one destruction period whose day has come, with its audit record in the same transaction, once
 * among all replicas. Resolves to whether one was due.
 */
export async function purgeOne({ open, onPurged, work }: PurgeOptions): Promise<boolean> {
  const purged = { name: "", keyId: "", time: new Date(0), actor: "" };
  try {
    await work.run(
      async (tx) => {
        const registry = open(tx);
        const key = await firstGenuine(
          registry,
          await lockDueKeys(tx, "purge", registry.now),
          // Locked since it was found; what the ledger knows as taken back is not genuine.
          ({ destroyAt, state }) => destroyAt !== null && destroyAt <= registry.now && state !== "destroyed",
        );
        if (key === undefined) throw new NothingDue();
        await purge(registry, key);
        const { actor, now } = registry;
        Object.assign(purged, { name: fullName(key), keyId: key.id, time: now, actor });
      },
      () =>
        buildAuditRecord({
          id: randomUUID(),
          time: purged.time,
          service: "storage",
          method: "claviger.storage/Purge",
          permission: "",
          resource: purged.name,
          outcome: "allowed",
          traceId: "",
          details: { keyId: purged.keyId },
          personal: { actor: purged.actor, certificateSerial: "" },
        }),
    );
  } catch (error) {
    if (error instanceof NothingDue) return false;
    throw error;
  }
  onPurged(purged.name);
  return true;
}

/** Takes the transaction back: nothing happened that there should be a record of. */
class NothingDue extends Error {}

const dueLists: readonly ((tx: Transaction, now: Date) => Promise<KeyName[]>)[] = [
  (tx, now) => lockDueKeys(tx, "activation", now),
  (tx, now) => lockDueKeys(tx, "expiry", now),
  (tx, now) => lockKeysOfDueVersions(tx, "activation", now),
  (tx, now) => lockKeysOfDueVersions(tx, "expiry", now),
];

/**
 * Writes down what the days of one key have done, once among all replicas; the records are in the same transaction.
 * Resolves to whether any was due.
 */
export async function actOnOneDate({ open, work }: Pick<PurgeOptions, "open" | "work">): Promise<boolean> {
  return work.runUnrecorded(async (tx) => {
    const registry = open(tx);
    for (const dueKeys of dueLists) {
      for (const name of await dueKeys(tx, registry.now)) {
        const key = await firstGenuine(registry, [name], () => true);
        if (key !== undefined && (await settleDates(registry, key)).moves > 0) return true;
      }
    }
    return false;
  });
}

/** A row that was changed outside Claviger is told of, and holds up no others. */
async function firstGenuine(
  registry: Registry,
  names: readonly KeyName[],
  isDue: (key: KeyRow) => boolean,
): Promise<KeyRow | undefined> {
  for (const name of names) {
    try {
      const key = await freshKey(registry, name, "lock");
      if (key !== undefined && isDue(key)) return key;
    } catch (error) {
      if (!isDomainError(error, "integrity")) throw error;
    }
  }
  return undefined;
}
