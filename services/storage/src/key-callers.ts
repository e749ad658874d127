import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import { parseKeyName } from "./names.ts";
import type { Registry } from "./registry.ts";
import {
  addUses,
  callersBeside,
  forgetReporters,
  type ReportedRow,
  takeReport,
} from "./store/key-callers.ts";

export interface ReportedUse {
  name: string;
  version: number;
  caller: string;
  uses: number;
  firstUsedAt: Date;
  lastUsedAt: Date;
}

const column = "key_callers.caller";
const usesOfReportMax = 1000;
/** Callers of a version that are known by name; those beyond are counted together. */
const callersOfVersionMax = 1000;
const reporterDays = 30;
const dayMilliseconds = 86_400_000;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Counts a generator's report, once: however often it comes. */
export async function countReport(
  registry: Registry,
  report: { reporter: string; sequence: bigint; uses: readonly ReportedUse[] },
): Promise<boolean> {
  const { reporter, sequence, uses } = report;
  if (!uuidPattern.test(reporter) || sequence < 1n || uses.length > usesOfReportMax) {
    throw new DomainError(
      "invalid-argument",
      `a report has a reporter, a number and at most ${usesOfReportMax} uses`,
    );
  }
  const rows = uses.map((use) => rowOf(registry, use));
  const { now, tx } = registry;
  if (!(await takeReport(tx, { reporter, sequence, now }))) return false;
  if (sequence === 1n) await forgetReporters(tx, new Date(now.getTime() - reporterDays * dayMilliseconds));
  await addUses(tx, await withoutExcess(registry, rows));
  return true;
}

function rowOf({ columns, now }: Registry, use: ReportedUse): ReportedRow {
  const { firstUsedAt, lastUsedAt, uses, version } = use;
  const { uri } = parseIdentity(use.caller);
  const { key, keyring } = parseKeyName(use.name);
  if (Number.isNaN(firstUsedAt.getTime()) || Number.isNaN(lastUsedAt.getTime())) {
    throw new DomainError("invalid-argument", "a moment is out of range");
  }
  if (version < 1 || !Number.isSafeInteger(uses) || uses < 1) {
    throw new DomainError("invalid-argument", "a use is of a version of a key, and happened");
  }
  // Whose clock goes ahead does not tell of a use that is still to come.
  const last = Math.min(lastUsedAt.getTime(), now.getTime());
  const first = Math.min(firstUsedAt.getTime(), last);
  const caller = columns.concealExact(column, uri);
  return { keyring, key, version, caller, uses, firstUsedAt: new Date(first), lastUsedAt: new Date(last) };
}

/** Whoever would be one too many is counted as "others". */
async function withoutExcess(registry: Registry, rows: readonly ReportedRow[]): Promise<ReportedRow[]> {
  const beside = await callersBeside(registry.tx, rows, callersOfVersionMax);
  const others = registry.columns.concealExact(column, "");
  const added = new Map<string, Set<string>>();
  return rows.map((row, at) => {
    const known = beside[at];
    if (known === undefined) return row;
    const place = `${row.keyring}/${row.key}@${row.version}`;
    const fresh = added.get(place) ?? new Set();
    added.set(place, fresh);
    const name = row.caller.toString("hex");
    if (!fresh.has(name) && known + fresh.size >= callersOfVersionMax) return { ...row, caller: others };
    fresh.add(name);
    return row;
  });
}

/** Empty: those beyond the bound. */
export function callerOf({ columns }: Registry, concealed: Buffer): string {
  return columns.revealExact(column, concealed);
}
