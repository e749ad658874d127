import { randomUUID } from "node:crypto";
import type { Transaction } from "@claviger/database";

export interface DomainEvent {
  /** Without the prefix, such as `key.rotated`; the CloudEvents type is `claviger.key.rotated.v1`. */
  type: string;
  /** What it is about: `keyring/key`, an identity, a serial. */
  subject: string;
  time: Date;
  data: Readonly<Record<string, string | number | boolean | null>>;
}

/**
 * Writes an event into the transaction that makes it true. It reaches the bus as a CloudEvent 1.0
 * in JSON, at least once, on `claviger.events.<service>.<type>`.
 */
export async function insertEvent(
  transaction: Transaction,
  service: string,
  event: DomainEvent,
): Promise<void> {
  const id = randomUUID();
  const cloudEvent = {
    specversion: "1.0",
    id,
    source: `/claviger/${service}`,
    type: `claviger.${event.type}.v1`,
    subject: event.subject,
    time: event.time.toISOString(),
    datacontenttype: "application/json",
    data: event.data,
  };
  await transaction.query("INSERT INTO outbox (id, kind, subject, payload) VALUES ($1, 'event', $2, $3)", [
    id,
    `claviger.events.${service}.${event.type}`,
    Buffer.from(JSON.stringify(cloudEvent)),
  ]);
}
