import { randomUUID } from "node:crypto";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Client } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";

export interface UseReportsOptions {
  storage: Pick<Client<typeof KeyMaterialService>, "reportUses">;
  now: () => Date;
  onTrouble: (what: string) => void;
  /** 5 s where left out. */
  everyMilliseconds?: number;
}

/** Of one caller and one version, since the last report. */
interface Counted {
  name: string;
  version: number;
  caller: string;
  uses: number;
  firstUsedAt: Date;
  lastUsedAt: Date;
}

interface Report {
  sequence: bigint;
  uses: Counted[];
}

const everyDefault = 5000;
/** What is counted between two reports; beyond it nothing more is, rather than anything wrong. */
const entriesMax = 20_000;
const usesOfReportMax = 1000;

/**
 * Who used which version how often, added up here and reported to storage now and then: never a call for each use. A
 * report that was not acknowledged is sent again as it was, and storage counts it once. What a killed process had not
 * reported is lost: a count may be too small, and never tells of a use that was not made.
 */
export class UseReports implements AsyncDisposable {
  readonly #options: UseReportsOptions;
  readonly #reporter = randomUUID();
  readonly #timer: NodeJS.Timeout;
  #counted = new Map<string, Counted>();
  #sequence = 0n;
  #pending: Report | undefined;
  #reporting: Promise<void> | undefined;
  #left = 0;

  constructor(options: UseReportsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.report(), options.everyMilliseconds ?? everyDefault).unref();
  }

  /** Uses that were made. */
  count(caller: string, name: string, version: number, uses = 1): void {
    if (uses < 1) return;
    const key = `${name}@${version} ${caller}`;
    const known = this.#counted.get(key);
    if (known !== undefined) {
      known.uses += uses;
      known.lastUsedAt = this.#options.now();
      return;
    }
    if (this.#counted.size >= entriesMax) {
      this.#left += uses;
      return;
    }
    const at = this.#options.now();
    this.#counted.set(key, { name, version, caller, uses, firstUsedAt: at, lastUsedAt: at });
  }

  /** Everything that was counted until now, where storage takes it; otherwise the next time. Never throws. */
  report(): Promise<void> {
    this.#reporting ??= this.#report().finally(() => {
      this.#reporting = undefined;
    });
    return this.#reporting;
  }

  async #report(): Promise<void> {
    const { onTrouble } = this.#options;
    if (this.#left > 0)
      onTrouble(`${this.#left} uses of keys were not counted by caller: too many callers at once`);
    this.#left = 0;
    for (;;) {
      this.#pending ??= this.#next();
      if (this.#pending === undefined) return;
      try {
        await this.#send(this.#pending);
      } catch (error) {
        onTrouble(`who used which keys is not reported yet: ${(error as Error).message}`);
        // What storage will never take does not hold up what comes after it.
        if (isDomainError(error, "invalid-argument")) this.#pending = undefined;
        return;
      }
      this.#pending = undefined;
    }
  }

  #next(): Report | undefined {
    const uses: Counted[] = [];
    for (const [key, counted] of this.#counted) {
      if (uses.length === usesOfReportMax) break;
      uses.push(counted);
      this.#counted.delete(key);
    }
    if (uses.length === 0) return undefined;
    this.#sequence += 1n;
    return { sequence: this.#sequence, uses };
  }

  async #send({ sequence, uses }: Report): Promise<void> {
    await this.#options.storage.reportUses({
      reporter: this.#reporter,
      sequence,
      uses: uses.map(({ firstUsedAt, lastUsedAt, uses: count, ...of }) => ({
        ...of,
        uses: BigInt(count),
        firstUsedAt: timestampFromDate(firstUsedAt),
        lastUsedAt: timestampFromDate(lastUsedAt),
      })),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.report();
  }
}
