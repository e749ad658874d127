import { randomUUID } from "node:crypto";
import { createReadStream, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildAuditRecord } from "@claviger/audit-record";
import { readEndings, type SealedEnding } from "@claviger/backup";
import type { Transaction } from "@claviger/database";
import { isDomainError } from "@claviger/domain-error";
import { serviceIdentity } from "@claviger/identity";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { applyEnding } from "./endings.ts";
import { moveKey } from "./key-dates.ts";
import { systemKeyring } from "./names.ts";
import type { Registry } from "./registry.ts";
import { type KeyRow, sealedKeys } from "./store/keys.ts";
import { readSealedPage, type SealedTable } from "./store/sealed-table.ts";
import { sealedUses, type UsesRow, updateUses } from "./store/uses.ts";

export interface RestoredOptions {
  /** Where a restore leaves its note, and what it knows was ended since; without the note, nothing is done. */
  directory: string;
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  trustDomain: string;
}

const pageMax = 200;
const noteFile = "restored.json";
const endingsFile = "endings.jsonl";

/**
 * After a restore from a backup, before anything is served. What is known to have been ended since is ended again; all
 * else that happened since the backup was made is not known.
 * Every active key is suspended, since it may have been revoked or destroyed, until somebody enables it; and no
 * version may encrypt any more whose uses are counted, since it may have been used up: its next one may.
 */
export async function settleRestored({ directory, open, trustDomain, work }: RestoredOptions): Promise<void> {
  const path = join(directory, noteFile);
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
  await applyEndings();
  await each("SuspendRestored", sealedKeys, async (registry, row) => {
    const key = sealedKeys.open(registry.sealer, row) as KeyRow;
    if (key.keyring === systemKeyring || key.state !== "active" || key.destroyAt !== null) return false;
    await moveKey(registry, key, "suspended", { reason: "restoredFromBackup", at: registry.now });
    return true;
  });
  await each("EndRestoredUses", sealedUses, async (registry, row) => {
    const uses = sealedUses.open(registry.sealer, row) as UsesRow;
    await updateUses(registry.tx, registry.sealer, { ...uses, reserved: uses.usesMax });
    return true;
  });
  rmSync(join(directory, endingsFile), { force: true });
  rmSync(path);

  async function applyEndings(): Promise<void> {
    const file = join(directory, endingsFile);
    if (!existsSync(file)) return;
    for await (const page of pagesOf(file)) {
      let count = 0;
      await work.run(
        async (tx) => {
          count = 0;
          for (const sealed of page) {
            try {
              if (await applyEnding(open(tx), sealed)) count += 1;
            } catch (error) {
              if (!isDomainError(error, "integrity")) throw error;
            }
          }
        },
        () => record("ApplyEndings", count),
      );
    }
  }

  /** A row that was changed outside Claviger is of no use to anybody, and does not keep the others from their end. */
  async function each(
    what: string,
    table: SealedTable,
    settle: (registry: Registry, row: object) => Promise<boolean>,
  ): Promise<void> {
    let after: string[] | undefined;
    do {
      let count = 0;
      await work.run(
        async (tx) => {
          const registry = open(tx);
          const page = await readSealedPage(tx, table, after, pageMax);
          after = page.end;
          for (const row of page.rows) {
            try {
              if (await settle(registry, row)) count += 1;
            } catch (error) {
              if (!isDomainError(error, "integrity")) throw error;
            }
          }
        },
        () => record(what, count),
      );
    } while (after !== undefined);
  }
}

/** One file after another, each with its end: a restore was given as many as there were. */
async function* pagesOf(path: string): AsyncGenerator<SealedEnding[]> {
  let page: SealedEnding[] = [];
  for await (const sealed of readEndings(createReadStream(path), { several: true })) {
    page.push(sealed);
    if (page.length < pageMax) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
