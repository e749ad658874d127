import { existsSync } from "node:fs";
import { copyFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type BenchInstallation, clone } from "./bench-installation.ts";
import type { Load } from "./child.ts";
import { type ProfileSummary, summariseProfile } from "./profile-summary.ts";
import { type WorkloadName, workloads } from "./workloads.ts";

export const profiledWorkloads = [
  "encrypt",
  "encrypt-batch",
  "sign-batch-hsm",
] as const satisfies WorkloadName[];
const functionsListed = 40;
const writeMillisecondsMax = 10_000;
const directoryName = "profiles";
/** Where the services see the clone when root runs them below a directory that others cannot enter. */
const cloneInNamespace = "/run/claviger/clone";

export interface KeptProfile {
  workload: WorkloadName;
  /** The main thread first: the other is the audit spool's. */
  threads: { file: string; summary: ProfileSummary }[];
}

/**
 * A short run of each workload with the profiler on, after the measurement: the profiler itself costs.
 * The generator writes a profile of each thread when it ends, so it is started anew for each.
 */
export async function profileAll(options: {
  installation: BenchInstallation;
  load: Load;
  only: readonly WorkloadName[];
  seconds: number;
  signal: AbortSignal;
  /** Profiles are written to `<prefix>.<workload>.<thread>.cpuprofile`. */
  prefix: string;
  onProgress: (what: string) => void;
}): Promise<KeptProfile[]> {
  const { installation, load, signal } = options;
  const written = join(installation.layout.serviceDirectory("generator"), directoryName);
  const kept: KeptProfile[] = [];
  for (const workload of profiledWorkloads.filter((name) => options.only.includes(name))) {
    options.onProgress(`profiling ${workload}`);
    await installation.stop();
    const before = await filesIn(written);
    // Relative to the service's directory, which is where it may write.
    await installation.start(signal, { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directoryName}` });
    const target = installation.generator;
    const { windowMicroseconds } = await load.run(
      {
        workload,
        target,
        connections: 4,
        warmUpSeconds: 1,
        seconds: options.seconds * workloads[workload].share,
      },
      signal,
    );
    await installation.stop();
    const names = await newFiles(written, before);
    const threads = names
      .map((name, thread) => ({ name, thread }))
      .map(async ({ name, thread }) => {
        const file = `${options.prefix}.${workload}.${thread}.cpuprofile`;
        await copyFile(join(written, name), file);
        const text = await readFile(file, "utf8");
        return {
          file,
          summary: summariseProfile(text, {
            window: windowMicroseconds,
            roots: [clone, cloneInNamespace],
            limit: functionsListed,
          }),
        };
      });
    kept.push({ workload, threads: await Promise.all(threads) });
  }
  return kept;
}

async function filesIn(directory: string): Promise<string[]> {
  return existsSync(directory) ? (await readdir(directory)).sort() : [];
}

/** `CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile`, by thread. */
async function newFiles(directory: string, before: readonly string[]): Promise<string[]> {
  for (const ends = performance.now() + writeMillisecondsMax; performance.now() < ends; await sleep(100)) {
    const names = (await filesIn(directory)).filter((name) => !before.includes(name));
    if (names.length > 0) return names.toSorted((a, b) => threadOf(a) - threadOf(b));
  }
  return [];
}

function threadOf(name: string): number {
  return Number(name.split(".")[4] ?? 0);
}
