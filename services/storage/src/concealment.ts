import { randomUUID } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { concealHold } from "./holds.ts";
import { concealDetails, detailsOf, indexDetails } from "./key-details.ts";
import type { Registry } from "./registry.ts";
import { listHoldsInClear, rewriteHold } from "./store/holds.ts";
import { listKeysInClear, updateKey } from "./store/keys.ts";

export interface ConcealmentOptions {
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
}

const pageMax = 200;
const first = "00000000-0000-0000-0000-000000000000";

/**
 * Before anything is served: what an older Claviger, or a backup of one, kept in clear is written anew, encrypted. Cut
 * off anywhere, it goes on at the next start; of two replicas each page is one's. A row whose seal does not fit stays.
 */
export async function concealWhatIsInClear({ open, work }: ConcealmentOptions): Promise<void> {
  await each("keys", async (registry, after) => {
    const { last, rows } = await listKeysInClear(registry.tx, registry.sealer, after, pageMax);
    for (const row of rows) {
      const details = concealDetails(registry.columns, row.id, detailsOf(registry.columns, row));
      await indexDetails(
        registry,
        await updateKey(registry.tx, registry.sealer, { ...row, owner: "", details }),
      );
    }
    return { last, count: rows.length };
  });
  await each("holds", async (registry, after) => {
    const { last, rows } = await listHoldsInClear(registry.tx, registry.sealer, after, pageMax);
    for (const row of rows) {
      const said = { holder: row.holder ?? "", reason: row.reason ?? "" };
      const details = concealHold(registry, row.id, said);
      await rewriteHold(registry.tx, registry.sealer, {
        ...row,
        holder: null,
        reason: null,
        details,
        kind: "hold",
      });
    }
    return { last, count: rows.length };
  });

  async function each(
    table: string,
    page: (registry: Registry, after: string) => Promise<{ last: string | undefined; count: number }>,
  ): Promise<void> {
    for (let after: string | undefined = first; after !== undefined; ) {
      const from: string = after;
      after = await work.runUnrecorded(async (tx) => {
        const registry = open(tx);
        const { count, last } = await page(registry, from);
        if (count > 0) await registry.record(recordOf(registry, table, count));
        return last;
      });
    }
  }
}

function recordOf({ actor, now }: Registry, table: string, count: number) {
  return buildAuditRecord({
    id: randomUUID(),
    time: now,
    service: "storage",
    method: "claviger.storage/ConcealColumns",
    permission: "",
    resource: "*",
    outcome: "allowed",
    traceId: "",
    details: { table, count },
    personal: { actor, certificateSerial: "" },
  });
}
