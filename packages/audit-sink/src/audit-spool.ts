import { type AuditRecord, openConfirmation, sealForBus } from "@claviger/audit-record";
import type { Bus } from "@claviger/bus";
import { DomainError } from "@claviger/domain-error";
import { SpoolFile } from "./spool-file.ts";
import type { SpoolRow } from "./spool-protocol.ts";

export interface AuditSpoolOptions {
  path: string;
  service: string;
  auditKey: Uint8Array;
  bus: Bus;
  /** Records that may wait for the log; past it, operations are refused. */
  recordsMax?: number;
  onTrouble?: (what: string) => void;
}

const recordsMaxDefault = 500_000;
const shipBatchMax = 500;
const idleMilliseconds = 1000;
const confirmationMilliseconds = 30_000;

interface Waiting {
  row: SpoolRow;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Keeps audit records on the local disk before an answer goes out, many in one commit, and ships
 * them to the bus in the background until the log has confirmed each.
 */
export class AuditSpool implements AsyncDisposable {
  readonly #options: AuditSpoolOptions;
  readonly #file: SpoolFile;
  #waiting: Waiting[] = [];
  #committing = false;
  #held = 0;
  #shipping: Promise<void> | undefined;
  #shipAgain = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(options: AuditSpoolOptions, file: SpoolFile, held: number) {
    this.#options = options;
    this.#file = file;
    this.#held = held;
  }

  static async open(options: AuditSpoolOptions): Promise<AuditSpool> {
    const file = new SpoolFile(options.path);
    const { count = 0 } = await file.ask({ do: "count" });
    const spool = new AuditSpool(options, file, count);
    options.bus.subscribe(`claviger.confirm.${options.service}`, (message) => spool.#confirm(message.data));
    spool.#ship();
    return spool;
  }

  /** Resolves once the record is on disk. @throws DomainError `unavailable` where it cannot be kept. */
  keep(record: AuditRecord): Promise<void> {
    if (this.#held >= (this.#options.recordsMax ?? recordsMaxDefault)) {
      return Promise.reject(
        new DomainError(
          "unavailable",
          "the audit spool is full, so nothing is done that could not be recorded",
          {
            hint: "the audit service or the bus has been away for long: see `claviger status`",
          },
        ),
      );
    }
    this.#held += 1;
    const { auditKey, service } = this.#options;
    const row = { id: record.id, payload: sealForBus(record, service, auditKey) };
    return new Promise((resolve, reject) => {
      this.#waiting.push({ row, resolve, reject });
      if (!this.#committing) {
        this.#committing = true;
        setImmediate(() => void this.#commit());
      }
    });
  }

  /** One commit for everything that came while the one before was under way. */
  async #commit(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#file.ask({ do: "keep", rows: batch.map(({ row }) => row) });
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#held -= batch.length;
        for (const { reject } of batch) reject(error);
      }
    }
    this.#committing = false;
    this.#ship();
  }

  #ship(): void {
    if (this.#closed) return;
    this.#shipAgain = true;
    this.#shipping ??= this.#shipAll().finally(() => {
      this.#shipping = undefined;
      clearTimeout(this.#timer);
      if (!this.#closed) this.#timer = setTimeout(() => this.#ship(), idleMilliseconds).unref();
      if (this.#shipAgain) this.#ship();
    });
  }

  async #shipAll(): Promise<void> {
    while (this.#shipAgain && !this.#closed) {
      this.#shipAgain = false;
      try {
        if ((await this.#shipBatch()) === shipBatchMax) this.#shipAgain = true;
      } catch (error) {
        this.#options.onTrouble?.(`audit records wait in the spool: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, idleMilliseconds / 4));
      }
    }
  }

  async #shipBatch(): Promise<number> {
    const { bus, service } = this.#options;
    const publishedBefore = Date.now() - confirmationMilliseconds;
    const { rows = [] } = await this.#file.ask({ do: "pending", publishedBefore, limit: shipBatchMax });
    if (rows.length === 0) return 0;
    const sent = await Promise.allSettled(
      rows.map((row) => bus.publish(`claviger.audit.${service}`, row.payload, row.id)),
    );
    const ids = rows.filter((_, at) => sent[at]?.status === "fulfilled").map((row) => row.id);
    await this.#file.ask({ do: "published", ids, at: Date.now() });
    if (ids.length < rows.length) {
      this.#options.onTrouble?.(`${rows.length - ids.length} audit records wait for the bus`);
    }
    return ids.length;
  }

  #confirm(message: Uint8Array): void {
    const { auditKey, onTrouble, service } = this.#options;
    try {
      const ids = openConfirmation(message, service, auditKey);
      this.#file
        .ask({ do: "forget", ids })
        .then(() => this.#file.ask({ do: "count" }))
        .then(({ count = 0 }) => {
          this.#held = count + this.#waiting.length;
        })
        .catch((error: Error) => onTrouble?.(error.message));
    } catch (error) {
      onTrouble?.(`a confirmation was not taken: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#shipping;
    await this.#file.close();
  }
}
