import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Claviger, createClaviger } from "@claviger/client";
import { readSupervisorFile } from "@claviger/local";
import type { BenchInstallation } from "../bench-installation.ts";
import { processTimeSeconds } from "../process-time.ts";
import { BareChanges } from "./bare-changes.ts";
import { fill, keyringOf, nameOf } from "./fill.ts";
import { type Latency, latencyOf, questions } from "./questions.ts";

const smallScale = 1000;
/** And a quarter of that before, uncounted: together fewer than the small registry has keys. */
const callsOfQuestion = 300;
const callsInFlight = 2;
const coldKeys = 90;
const changeSeconds = 4;
const changesInFlight = 16;
const changeRounds = 3;

export interface RegistryRow {
  name: string;
  small: Latency;
  large: Latency;
  /** p99 of the large registry by that of the small one. */
  ratio: number;
}

export interface RegistryReport {
  small: number;
  large: number;
  rows: RegistryRow[];
  /** Changes of state beside bare inserts of the same rows, each by the second and by the CPU-second of its process. */
  changes: { ours: Rates; bare: Rates; ratio: number; ratioByProcessSecond: number };
}

interface Rates {
  bySecond: number;
  byProcessSecond: number;
}

/** Storage with a thousand keys, and the same storage with many. */
export async function measureRegistry(options: {
  installation: BenchInstallation;
  scale: number;
  signal: AbortSignal;
  onProgress: (what: string) => void;
}): Promise<RegistryReport> {
  const { installation, onProgress, scale, signal } = options;
  using claviger = createClaviger({ config: installation.layout.configurationFile });
  const surroundings = await installation.surroundings();
  const database = { ...surroundings.database, database: "claviger", options: "-c search_path=storage" };
  const sealKey = await readFile(join(installation.layout.serviceDirectory("storage"), "seal.key"));
  for (let index = 0; index < 100; index += 1) {
    await claviger.keyrings.createKeyring({ name: keyringOf(index) });
  }
  await claviger.keyrings.createKeyring({ name: "cold" });
  const stage = async (from: number, to: number): Promise<Map<string, Latency>> => {
    let told = 0;
    const onFilled = (keys: number): void => {
      if (keys < to && keys - told < 50_000) return;
      told = keys;
      onProgress(
        `${keys.toLocaleString("en")} keys and ${(keys * 3).toLocaleString("en")} versions are there`,
      );
    };
    await fill({ database, sealKey, from, to, signal, onProgress: onFilled });
    return measureStage(claviger, to, signal, onProgress);
  };
  const small = await stage(0, smallScale);
  const large = await stage(smallScale, scale);
  const rows = [...small].map(([name, latency]) => {
    const other = large.get(name)!;
    return { name, small: latency, large: other, ratio: other.p99 / latency.p99 };
  });
  const changes = await measureChanges({ claviger, installation, database, scale, signal, onProgress });
  return { small: smallScale, large: scale, rows, changes };
}

async function measureStage(
  claviger: Claviger,
  keys: number,
  signal: AbortSignal,
  onProgress: (what: string) => void,
): Promise<Map<string, Latency>> {
  const found = new Map<string, Latency>();
  for (const { ask, name } of questions) {
    signal.throwIfAborted();
    const asked = async (first: number, count: number): Promise<number[]> => {
      const times: number[] = [];
      let next = first;
      await Promise.all(
        Array.from({ length: callsInFlight }, async () => {
          while (next < first + count) {
            const number = next;
            next += 1;
            const began = performance.now();
            await ask(claviger, keys, number);
            times.push(performance.now() - began);
          }
        }),
      );
      return times;
    };
    // What comes first warms caches and the compiler, and is not counted.
    await asked(0, callsOfQuestion / 4);
    const latency = latencyOf(await asked(callsOfQuestion / 4, callsOfQuestion));
    found.set(name, latency);
    onProgress(
      `${keys.toLocaleString("en")} keys, ${name}: p50 ${latency.p50.toFixed(1)} ms, p99 ${latency.p99.toFixed(1)} ms`,
    );
  }
  const names = Array.from({ length: coldKeys }, (_, at) => `cold/of-${keys}-${at}`);
  for (const name of names) await claviger.keyGeneration.createKey({ name, algorithm: "hmac-sha256" });
  const times: number[] = [];
  for (const [at, name] of names.entries()) {
    signal.throwIfAborted();
    const began = performance.now();
    await claviger.cryptography.mac({ name, message: Buffer.from("m") });
    if (at >= coldKeys / 6) times.push(performance.now() - began);
  }
  found.set("a key that the generator has not read", latencyOf(times));
  return found;
}

async function measureChanges(options: {
  claviger: Claviger;
  installation: BenchInstallation;
  database: Parameters<typeof BareChanges.open>[0];
  scale: number;
  signal: AbortSignal;
  onProgress: (what: string) => void;
}): Promise<RegistryReport["changes"]> {
  const { claviger, database, installation, onProgress, scale, signal } = options;
  const storage = readSupervisorFile(installation.layout)?.parts.find(({ name }) => name === "storage")?.pid;
  if (storage === undefined) throw new Error("storage does not run");
  const bare = await BareChanges.open(database, changesInFlight);
  const [ours, theirs]: [Rates[], Rates[]] = [[], []];
  let number = 0;
  try {
    for (let round = 0; round <= changeRounds; round += 1) {
      signal.throwIfAborted();
      const change = async (): Promise<unknown> => {
        const name = nameOf(scale - 1 - (number % scale));
        // Of whichever version still can: a small registry comes round again.
        const version = 1 + (Math.floor(number / scale) % 2);
        number += 1;
        return claviger.keys.changeKeyState({ name, version, state: "compromised" });
      };
      const one = await rate(storage, change);
      const other = await rate(process.pid, () => bare.insert());
      if (round === 0) continue;
      ours.push(one);
      theirs.push(other);
      onProgress(
        `round ${round} of ${changeRounds}: ${Math.round(one.bySecond)} changes of state / s, ${Math.round(other.bySecond)} bare / s`,
      );
    }
  } finally {
    await bare.close();
  }
  const [claimed, least] = [median(ours), median(theirs)];
  return {
    ours: claimed,
    bare: least,
    ratio: claimed.bySecond / least.bySecond,
    ratioByProcessSecond: claimed.byProcessSecond / least.byProcessSecond,
  };
}

async function rate(pid: number, work: () => Promise<unknown>): Promise<Rates> {
  const cpuBefore = processTimeSeconds(pid);
  const began = performance.now();
  const ends = began + changeSeconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: changesInFlight }, async () => {
      while (performance.now() < ends) {
        await work();
        done += 1;
      }
    }),
  );
  const seconds = (performance.now() - began) / 1000;
  return { bySecond: done / seconds, byProcessSecond: done / (processTimeSeconds(pid) - cpuBefore) };
}

function median(rates: readonly Rates[]): Rates {
  const of = (field: keyof Rates): number => {
    const sorted = rates.map((one) => one[field]).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)]!;
  };
  return { bySecond: of("bySecond"), byProcessSecond: of("byProcessSecond") };
}

/** For people. */
export function registryText({ changes, large, rows, small }: RegistryReport): string {
  const milliseconds = ({ p50, p99 }: Latency): string => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
  const head = ["", `${small.toLocaleString("en")} keys`, `${large.toLocaleString("en")} keys`, "p99 ratio"];
  const lines = rows.map((row) => [
    row.name,
    milliseconds(row.small),
    milliseconds(row.large),
    row.ratio.toFixed(2),
  ]);
  const cells = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const table = cells
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  "),
    )
    .join("\n");
  const { bare, ours, ratio, ratioByProcessSecond } = changes;
  const rates = ({ byProcessSecond, bySecond }: Rates): string =>
    `${Math.round(bySecond).toLocaleString("en")} / s, ${Math.round(byProcessSecond).toLocaleString("en")} / CPU-s`;
  return [
    table,
    "Milliseconds, p50 / p99, of whole calls over mutual TLS; three versions to a key.",
    `Changes of state: ${rates(ours)} of storage; bare inserts of the same rows: ${rates(bare)} of their process; ratio ${ratio.toFixed(2)} by the second, ${ratioByProcessSecond.toFixed(2)} by the CPU-second.`,
  ].join("\n");
}
