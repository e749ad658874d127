import { parseArgs } from "node:util";
import { type BackupName, backupNames } from "./backup.ts";
import { type ExchangeName, exchangeNames } from "./exchange.ts";
import { type WorkloadName, workloadNames } from "./workloads.ts";

export interface BenchOptions {
  json: boolean;
  rounds: number;
  seconds: number;
  profile: boolean;
  only: readonly WorkloadName[];
  exchange: readonly ExchangeName[];
  backup: readonly BackupName[];
  /** How many keys storage is filled with, where that is to be measured. */
  registryScale: number | undefined;
}

export const usage = `usage: npm run bench -- [--json] [--rounds 5] [--seconds 3] [--only NAME,…] [--no-profile]

  --json        one JSON document on standard output instead of the table
  --rounds N    how often each path is measured on each side, 1 to 50
  --seconds N   how long each time, 1 to 60; half of that for the signatures
  --only NAMES  of: ${workloadNames.join(", ")};
                of keys that are handed out: ${exchangeNames.join(", ")};
                of backups and restores: ${backupNames.join(", ")} (minutes, and 3 GB of disk)
                or registry: storage filled with many keys, beside a thousand
  --scale N     how many keys that is, 1,000,000 where left out
  --no-profile  leaves out the CPU profiles at the end`;

/** @returns what to do, or what is wrong with it */
export function readOptions(args: readonly string[]): BenchOptions | "help" | { problem: string } {
  try {
    const { values } = parseArgs({
      args: [...args],
      allowNegative: true,
      options: {
        json: { type: "boolean", default: false },
        rounds: { type: "string", default: "5" },
        seconds: { type: "string", default: "3" },
        scale: { type: "string", default: "1000000" },
        profile: { type: "boolean", default: true },
        only: { type: "string", default: [...workloadNames, "backup"].join(",") },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return "help";
    const rounds = Number(values.rounds);
    const seconds = Number(values.seconds);
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > 50) return { problem: "--rounds takes 1 to 50" };
    if (!(seconds >= 1 && seconds <= 60)) return { problem: "--seconds takes 1 to 60" };
    const only = values.only.split(",");
    const scale = Number(values.scale);
    if (!Number.isInteger(scale) || scale < 2000 || scale > 10_000_000)
      return { problem: "--scale takes 2,000 to 10,000,000" };
    const unknown = only.find(
      (name) => !isWorkload(name) && !isExchange(name) && !isBackup(name) && name !== "registry",
    );
    if (unknown !== undefined) return { problem: `--only names no path "${unknown}"` };
    const registryScale = only.includes("registry") ? scale : undefined;
    const { json, profile } = values;
    return {
      json,
      rounds,
      seconds,
      profile,
      only: only.filter(isWorkload),
      exchange: only.filter(isExchange),
      backup: only.filter(isBackup),
      registryScale,
    };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

function isBackup(name: string): name is BackupName {
  return (backupNames as readonly string[]).includes(name);
}

function isExchange(name: string): name is ExchangeName {
  return (exchangeNames as readonly string[]).includes(name);
}

function isWorkload(name: string): name is WorkloadName {
  return (workloadNames as readonly string[]).includes(name);
}
