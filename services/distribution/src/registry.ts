import type { Transaction } from "@claviger/database";
import { type DomainEvent, insertEvent } from "@claviger/outbox";
import type { RowSealer } from "@claviger/row-seal";

/** What every operation needs; one for each transaction. */
export interface Registry {
  tx: Transaction;
  sealer: RowSealer;
  now: Date;
  /** A certificate was revoked, held or released: what this process answers from memory no longer holds. */
  statusChanged: (serial: string) => void;
}

export async function publish(
  registry: Registry,
  type: string,
  subject: string,
  data: DomainEvent["data"] = {},
): Promise<void> {
  await insertEvent(registry.tx, "distribution", { type, subject, time: registry.now, data });
}
