// Backups and restores, beside bare COPY and the loop that seals what it gives; and what they keep in memory.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Client } from "pg";
import type { BackupJob, BackupSample } from "./backup-worker.ts";
import type { BenchInstallation } from "./bench-installation.ts";

export const backupNames = ["backup", "backup-million"] as const;
export type BackupName = (typeof backupNames)[number];

const keysOf: Record<BackupName, number> = { backup: 10_000, "backup-million": 1_000_000 };
const insertedAtOnce = 100_000;

export interface BackupRow {
  what: "create" | "restore";
  keys: number;
  claviger: BackupSample;
  bare: BackupSample;
  /** Bare ÷ Claviger, by the clock: how much of its speed is left. */
  ratio: number;
}

export async function measureBackup(
  installation: BenchInstallation,
  names: readonly BackupName[],
  { onProgress, rounds }: { onProgress: (what: string) => void; rounds: number },
): Promise<BackupRow[]> {
  if (names.length === 0) return [];
  const { database } = await installation.surroundings();
  const { configurationFile, recoveryDirectory } = installation.layout;
  const rows: BackupRow[] = [];
  let there = 0;
  for (const keys of names.map((name) => keysOf[name]).sort((a, b) => a - b)) {
    onProgress(`making ${keys.toLocaleString("en")} keys and as many versions, in SQL`);
    await fill(database, there, keys);
    there = keys;
    for (const what of ["create", "restore"] as const) {
      const samples: Record<"claviger" | "bare", BackupSample[]> = { claviger: [], bare: [] };
      for (let round = 0; round < rounds; round += 1) {
        for (const side of ["claviger", "bare"] as const) {
          const file = join(installation.workDirectory, `${side}-${keys}.backup`);
          if (what === "create") rmSync(file, { force: true });
          const job = { side, what, file, configuration: configurationFile, recoveryDirectory, database };
          samples[side].push(await run(job));
        }
        onProgress(`${what} of ${keys.toLocaleString("en")} keys, round ${round + 1} of ${rounds}`);
      }
      const [claviger, bare] = [median(samples.claviger), median(samples.bare)];
      rows.push({ what, keys, claviger, bare, ratio: bare.seconds / claviger.seconds });
    }
  }
  return rows;
}

/** Rows as wide as real ones; their seals fit nothing, which neither side looks at. */
async function fill(database: BackupJob["database"], from: number, to: number): Promise<void> {
  const client = new Client({ ...database, database: "claviger" });
  await client.connect();
  try {
    await client.query("SET session_replication_role = replica");
    for (const table of ["keys", "key_versions"] as const) {
      const id = table === "keys" ? "id" : "key_id";
      const { rows } = await client.query<{ column: string }>(
        `SELECT column_name AS column FROM information_schema.columns
         WHERE table_schema = 'storage' AND table_name = $1 ORDER BY ordinal_position`,
        [table],
      );
      const values = rows.map(({ column }) => {
        if (column === id) return "md5('bench' || n)::uuid";
        return table === "keys" && column === "name" ? "'filled-' || n" : `t."${column}"`;
      });
      for (let at = from; at < to; at += insertedAtOnce) {
        await client.query(
          `INSERT INTO storage.${table} SELECT ${values.join(", ")} FROM generate_series($1::integer, $2::integer) n,
             (SELECT * FROM storage.${table} LIMIT 1) t`,
          [at, Math.min(at + insertedAtOnce, to) - 1],
        );
      }
    }
  } finally {
    await client.end();
  }
}

async function run(job: BackupJob): Promise<BackupSample> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "backup-worker.ts")], {
    env: { ...process.env, CLAVIGER_BENCH_JOB: JSON.stringify(job) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  const [out, [code]] = await Promise.all([text(child.stdout), exited]);
  if (code !== 0) throw new Error(`${job.what} by ${job.side} ended with ${code}`);
  return JSON.parse(out) as BackupSample;
}

function median(samples: readonly BackupSample[]): BackupSample {
  const middle = (measure: keyof BackupSample): number =>
    samples.map((sample) => sample[measure]).toSorted((a, b) => a - b)[Math.floor(samples.length / 2)]!;
  return {
    seconds: middle("seconds"),
    cpuSeconds: middle("cpuSeconds"),
    memoryBytesMax: middle("memoryBytesMax"),
  };
}

export function backupText(rows: readonly BackupRow[]): string {
  const megabytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
  return [
    "Backups, beside bare COPY and a loop that seals (medians; the ratio is of the clock):",
    ...rows.map(
      ({ bare, claviger, keys, ratio, what }) =>
        `  ${what.padEnd(8)} ${keys.toLocaleString("en").padStart(9)} keys  ${claviger.seconds.toFixed(2)} s, bare ${bare.seconds.toFixed(2)} s  ratio ${ratio.toFixed(2)}  memory at most ${megabytes(claviger.memoryBytesMax)}, bare ${megabytes(bare.memoryBytesMax)}`,
    ),
  ].join("\n");
}
