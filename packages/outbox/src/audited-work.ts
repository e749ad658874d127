import { type AuditRecord, sealBundle } from "@claviger/audit-record";
import type { Database, Transaction } from "@claviger/database";
import type { OutboxRelay } from "./relay.ts";

/**
 * Invariant 3 where a service has a database: the audit record is written in the transaction of
 * what it records, and a refusal in one of its own, before the answer goes out.
 */
export interface DatabaseAuditedWork {
  run<T>(work: (transaction: Transaction) => Promise<T>, record: () => AuditRecord): Promise<T>;
  keep(record: AuditRecord): Promise<void>;
  /** One more record of a transaction that is under way. */
  record(transaction: Transaction, record: AuditRecord): Promise<void>;
  runUnrecorded<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export function createDatabaseAuditedWork(options: {
  database: Database;
  service: string;
  auditKey: Uint8Array;
  relay: OutboxRelay;
}): DatabaseAuditedWork {
  const { auditKey, database, relay, service } = options;
  const insert = (transaction: Transaction, record: AuditRecord): Promise<unknown> =>
    transaction.query("INSERT INTO outbox (id, kind, subject, payload) VALUES ($1, 'audit', $2, $3)", [
      record.id,
      `claviger.audit.${service}`,
      sealBundle([record], service, auditKey),
    ]);
  return {
    run: (work, record) =>
      database.transaction(async (transaction) => {
        relay.requireRoom();
        const result = await work(transaction);
        await insert(transaction, record());
        transaction.afterCommit(() => relay.wake());
        return result;
      }),
    keep: (record) =>
      database.transaction(async (transaction) => {
        relay.requireRoom();
        await insert(transaction, record);
        transaction.afterCommit(() => relay.wake());
      }),
    record: async (transaction, record) => {
      relay.requireRoom();
      await insert(transaction, record);
      transaction.afterCommit(() => relay.wake());
    },
    runUnrecorded: (work) => database.transaction(work),
  };
}
