import { randomUUID } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { purge } from "./key-lifecycle.ts";
import { fullName, type Registry } from "./registry.ts";
import { lockKeyToPurge } from "./store/keys.ts";

export interface PurgeOptions {
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  trustDomain: string;
  onPurged: (name: string) => void;
}

/**
 * Ends one destruction period whose day has come, with its audit record in the same transaction, once
 * among all replicas. Resolves to whether one was due.
 */
export async function purgeOne({ open, onPurged, trustDomain, work }: PurgeOptions): Promise<boolean> {
  const purged = { name: "", keyId: "", time: new Date(0) };
  try {
    await work.run(
      async (tx) => {
        const registry = open(tx);
        const key = await lockKeyToPurge(tx, registry.sealer, registry.now);
        if (key === undefined) throw new NothingDue();
        await purge(registry, key);
        Object.assign(purged, { name: fullName(key), keyId: key.id, time: registry.now });
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
          personal: { actor: serviceIdentity(trustDomain, "storage").uri, certificateSerial: "" },
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
