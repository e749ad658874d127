import { type AuditRecord, bundleRecordsMax, openConfirmation } from "@claviger/audit-record";
import type { Bus } from "@claviger/bus";
import { DomainError } from "@claviger/domain-error";
import { toKeep } from "./bundling.ts";
import { Shipper } from "./shipper.ts";
import { SpoolFile } from "./spool-file.ts";

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
/** So many at once are a crowd: their commit waits a moment for more. */
const crowd = 4;
const gatherMilliseconds = 2;

interface Waiting {
  record: AuditRecord;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Keeps audit records on the local disk before an answer goes out, many in one commit, and ships them to the
 * bus in bundles, in the background, until the log has confirmed each.
 */
export class AuditSpool implements AsyncDisposable {
  readonly #options: AuditSpoolOptions;
  readonly #file: SpoolFile;
  readonly #shipper: Shipper;
  #waiting: Waiting[] = [];
  #committing = false;
  #held = 0;

  private constructor(options: AuditSpoolOptions, file: SpoolFile, held: number) {
    this.#options = options;
    this.#file = file;
    this.#held = held;
    this.#shipper = new Shipper({ ...options, file });
  }

  static async open(options: AuditSpoolOptions): Promise<AuditSpool> {
    const file = new SpoolFile(options.path);
    const { records = 0 } = await file.ask({ do: "count" });
    const spool = new AuditSpool(options, file, records);
    options.bus.subscribe(`claviger.confirm.${options.service}`, ({ data }) => void spool.#confirm(data));
    spool.#shipper.wake();
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
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject });
      if (!this.#committing) {
        this.#committing = true;
        void this.#commitAll();
      }
    });
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#gather();
      await this.#commit();
    }
    this.#committing = false;
  }

  /** Lets more records come into this commit, where many callers are about; who calls alone never waits. */
  async #gather(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#waiting.length < crowd || this.#waiting.length >= bundleRecordsMax) return;
    await new Promise((resolve) => setTimeout(resolve, gatherMilliseconds));
  }

  async #commit(): Promise<void> {
    const taken = this.#waiting;
    this.#waiting = [];
    try {
      await this.#file.ask({ do: "keep", kept: toKeep(taken.map(({ record }) => record)) });
      for (const { resolve } of taken) resolve();
      this.#shipper.wake();
    } catch (error) {
      this.#held -= taken.length;
      for (const { reject } of taken) reject(error);
    }
  }

  async #confirm(message: Uint8Array): Promise<void> {
    const { auditKey, onTrouble, service } = this.#options;
    try {
      const ranges = this.#shipper.confirmed(openConfirmation(message, service, auditKey));
      if (ranges.length === 0) return;
      const { records = 0 } = await this.#file.ask({ do: "forget", ranges });
      this.#held -= records;
    } catch (error) {
      onTrouble?.(`a confirmation was not taken: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shipper[Symbol.asyncDispose]();
    await this.#file.close();
  }
}
