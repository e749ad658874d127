import { openConfirmation } from "@claviger/audit-record";
import type { Bus } from "@claviger/bus";
import type { Database, Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { type OutboxRow, publishRows, subjectOf } from "./publish-rows.ts";

export interface OutboxRelayOptions {
  database: Database;
  bus: Bus;
  service: string;
  auditKey: Uint8Array;
  /** Rows that may wait; past it, operations are refused. */
  rowsMax?: number;
  onTrouble?: (what: string) => void;
}

const batchMax = 200;
const rowsMaxDefault = 1_000_000;
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
  #full = false;
  #measuredAt = 0;

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

  /** @throws DomainError `unavailable` where so much waits that nothing more can be recorded. */
  requireRoom(): void {
    if (!this.#full) return;
    throw new DomainError("unavailable", "too many audit records wait for the log, so nothing more is done", {
      hint: "the audit service or the bus has been away for long: see `claviger status`",
    });
  }

  async #measure(): Promise<void> {
    if (performance.now() - this.#measuredAt < idleMilliseconds) return;
    this.#measuredAt = performance.now();
    const rowsMax = this.#options.rowsMax ?? rowsMaxDefault;
    await this.#options.database.transaction(async (transaction) => {
      // The span costs nothing to know and is never less than the count, which is asked for only then.
      const [{ span } = { span: null }] = await transaction.query<{ span: string | null }>(
        "SELECT max(sequence) - min(sequence) + 1 AS span FROM outbox",
      );
      if (Number(span ?? 0) < rowsMax) {
        this.#full = false;
        return;
      }
      const [row] = await transaction.query<{ count: string }>("SELECT count(*) AS count FROM outbox");
      this.#full = Number(row?.count ?? 0) >= rowsMax;
    });
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      try {
        await this.#measure();
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

  async #send(transaction: Transaction, kind: "event" | "audit"): Promise<number> {
    const rows = await transaction.query<OutboxRow>(
      `SELECT id, subject, payload FROM outbox
       WHERE kind = $3 AND (published_at IS NULL OR published_at < now() - make_interval(secs => $1))
       ORDER BY sequence LIMIT $2`,
      [confirmationSeconds, batchMax, kind],
    );
    if (rows.length === 0) return 0;
    const taken = await publishRows(this.#options.bus, rows, kind === "event" ? subjectOf : (row) => row.id);
    await transaction.query(
      kind === "event"
        ? "DELETE FROM outbox WHERE id = ANY($1)"
        : "UPDATE outbox SET published_at = now() WHERE id = ANY($1)",
      [taken],
    );
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
