import { openConfirmation } from "@claviger/audit-record";
import type { Bus } from "@claviger/bus";
import type { Database, Transaction } from "@claviger/database";

interface OutboxRow {
  id: string;
  kind: "event" | "audit";
  subject: string;
  payload: Buffer;
}

export interface OutboxRelayOptions {
  database: Database;
  bus: Bus;
  service: string;
  auditKey: Uint8Array;
  onTrouble?: (what: string) => void;
}

const batchMax = 200;
const idleMilliseconds = 1000;
/** An audit record that the log has not confirmed by then is sent again; the log takes it once. */
const confirmationSeconds = 30;

/**
 * Carries outbox rows to the bus in order. One replica at a time: a row lock, not a session trick.
 * Events go once the bus has them. Audit records stay until the log itself has confirmed them, since
 * the bus's acknowledgement does not survive a power cut (docs/adr/0002).
 */
export class OutboxRelay implements AsyncDisposable {
  readonly #options: OutboxRelayOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(options: OutboxRelayOptions) {
    this.#options = options;
  }

  start(): void {
    const { auditKey, bus, service } = this.#options;
    bus.subscribe(`claviger.confirm.${service}`, (message) => {
      void this.#forget(() => openConfirmation(message.data, service, auditKey));
    });
    this.wake();
  }

  /** Something was committed. Cheap; call it after every commit. */
  wake(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      clearTimeout(this.#timer);
      if (!this.#closed) this.#timer = setTimeout(() => this.wake(), idleMilliseconds).unref();
      if (this.#again) this.wake();
    });
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        const carried = await this.#options.database.transaction((transaction) => this.#carry(transaction));
        if (carried === batchMax) this.#again = true;
      } catch (error) {
        this.#options.onTrouble?.(`outbox rows wait: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, idleMilliseconds / 4));
      }
    }
  }

  async #carry(transaction: Transaction): Promise<number> {
    const lock = await transaction.query("SELECT 1 FROM outbox_relay WHERE id = 1 FOR UPDATE SKIP LOCKED");
    if (lock.length === 0) return 0;
    // Apart, so that a full audit stream does not hold back what makes caches read again.
    const events = await this.#send(transaction, "event");
    const records = await this.#send(transaction, "audit");
    return Math.max(events, records);
  }

  async #send(transaction: Transaction, kind: OutboxRow["kind"]): Promise<number> {
    const rows = await transaction.query<OutboxRow>(
      `SELECT id, kind, subject, payload FROM outbox
       WHERE kind = $3 AND (published_at IS NULL OR published_at < now() - make_interval(secs => $1))
       ORDER BY sequence LIMIT $2`,
      [confirmationSeconds, batchMax, kind],
    );
    if (rows.length === 0) return 0;
    // Sent in order without waiting for each: one connection keeps the order.
    const sent = await Promise.allSettled(
      rows.map((row) => this.#options.bus.publish(row.subject, row.payload, row.id)),
    );
    const taken = rows.filter((_, at) => sent[at]?.status === "fulfilled");
    const idsOf = (kind: OutboxRow["kind"]): string[] =>
      taken.filter((row) => row.kind === kind).map((row) => row.id);
    await transaction.query("DELETE FROM outbox WHERE id = ANY($1)", [idsOf("event")]);
    await transaction.query("UPDATE outbox SET published_at = now() WHERE id = ANY($1)", [idsOf("audit")]);
    if (taken.length < rows.length) {
      this.#options.onTrouble?.(`${rows.length - taken.length} outbox rows wait for the bus`);
    }
    return taken.length;
  }

  async #forget(ids: () => string[]): Promise<void> {
    try {
      const confirmed = ids();
      await this.#options.database.transaction((transaction) =>
        transaction.query("DELETE FROM outbox WHERE kind = 'audit' AND id = ANY($1)", [confirmed]),
      );
    } catch (error) {
      this.#options.onTrouble?.(`a confirmation was not taken: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }
}
