import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { changeState } from "./key-lifecycle.ts";
import type { Registry } from "./registry.ts";
import { listKeysToSuspend } from "./store/keys.ts";
import { listUsesLeft, updateUses } from "./store/uses.ts";

export interface RestoredOptions {
  /** The note that a restore leaves; where there is none, nothing is done. */
  path: string;
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  trustDomain: string;
}

const pageMax = 200;

/**
 * After a restore from a backup, before anything is served: what happened since the backup was made is not known.
 * Every active key is suspended, since it may have been revoked or destroyed, until somebody enables it; and no
 * version may encrypt any more whose uses are counted, since it may have been used up: its next one may.
 */
export async function settleRestored({ open, path, trustDomain, work }: RestoredOptions): Promise<void> {
  if (!existsSync(path)) return;
  const { backup, madeAt } = JSON.parse(readFileSync(path, "utf8")) as { backup: string; madeAt: string };
  const record = (what: string, count: number) =>
    buildAuditRecord({
      id: randomUUID(),
      time: new Date(),
      service: "storage",
      method: `claviger.storage/${what}`,
      permission: "",
      resource: "*",
      outcome: "allowed",
      traceId: "",
      details: { backup, madeAt, count },
      personal: { actor: serviceIdentity(trustDomain, "storage").uri, certificateSerial: "" },
    });
  await page("SuspendRestored", async (registry) => {
    const keys = await listKeysToSuspend(registry.tx, registry.sealer, pageMax);
    for (const key of keys) await changeState(registry, key, { version: 0, state: "suspended", reason: "" });
    return keys.length;
  });
  await page("EndRestoredUses", async (registry) => {
    const left = await listUsesLeft(registry.tx, registry.sealer, pageMax);
    for (const uses of left) {
      await updateUses(registry.tx, registry.sealer, { ...uses, reserved: uses.usesMax });
    }
    return left.length;
  });
  rmSync(path);

  async function page(what: string, step: (registry: Registry) => Promise<number>): Promise<void> {
    for (let count = pageMax; count === pageMax; ) {
      await work.run(
        async (tx) => {
          count = await step(open(tx));
        },
        () => record(what, count),
      );
    }
  }
}
