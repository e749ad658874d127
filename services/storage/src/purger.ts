import { randomUUID } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { forgetOldRequests } from "@claviger/idempotency";
import { serviceIdentity } from "@claviger/identity";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import { purge } from "./key-lifecycle.ts";
import { fullName, type Registry } from "./registry.ts";
import { lockKeyToPurge } from "./store/keys.ts";

export interface PurgerOptions {
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  trustDomain: string;
  everyMilliseconds: number;
  onPurged: (name: string) => void;
  onTrouble: (what: string) => void;
}

const requestsKeptMilliseconds = 7 * 86_400_000;

/** Ends destruction periods whose day has come, one key a transaction, each once among all replicas. */
export class Purger implements AsyncDisposable {
  readonly #options: PurgerOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#round().finally(() => {
        if (!this.#closed) this.start();
      });
    }, this.#options.everyMilliseconds);
  }

  async #round(): Promise<void> {
    try {
      while (!this.#closed && (await this.purgeOne())) {
        // Until nothing is due.
      }
      await this.#options.work.runUnrecorded(async (tx) => {
        await forgetOldRequests(
          tx,
          new Date(this.#options.open(tx).now.getTime() - requestsKeptMilliseconds),
        );
      });
    } catch (error) {
      this.#options.onTrouble(`purging waits: ${(error as Error).message}`);
    }
  }

  /** Purges one key that is due, with its audit record in the same transaction. Resolves to whether one was due. */
  async purgeOne(): Promise<boolean> {
    const { open, onPurged, trustDomain, work } = this.#options;
    const due = await work.runUnrecorded(async (tx) => {
      const registry = open(tx);
      return (await lockKeyToPurge(tx, registry.sealer, registry.now)) !== undefined;
    });
    if (!due) return false;
    let purged = { name: "", keyId: "", time: new Date(0) };
    await work.run(
      async (tx) => {
        const registry = open(tx);
        const key = await lockKeyToPurge(tx, registry.sealer, registry.now);
        if (key === undefined) throw new DomainError("aborted", "another replica has it");
        await purge(registry, key);
        purged = { name: fullName(key), keyId: key.id, time: registry.now };
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
    onPurged(purged.name);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
