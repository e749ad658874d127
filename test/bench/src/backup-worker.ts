// One backup or restore in a process of its own, so that its memory is its own: Claviger's, or the least that could do it.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createReadStream, createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ByteReader } from "@claviger/backup";
import { createClaviger } from "@claviger/client";
import { Client } from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import { createBackup } from "../../../deploy/local/src/backup/create.ts";
import { replaceRows } from "../../../deploy/local/src/backup/rows.ts";
import { columnList, sqlName, tablesOf } from "../../../deploy/local/src/backup/tables.ts";
import { openBackup } from "../../../services/generator/src/ceremony/opened-backup.ts";
import { combineShares } from "../../../services/generator/src/ceremony/shares.ts";

export interface BackupJob {
  side: "claviger" | "bare";
  what: "create" | "restore";
  file: string;
  configuration: string;
  recoveryDirectory: string;
  database: { host: string; port: number; user: string; password: string };
}

export interface BackupSample {
  seconds: number;
  cpuSeconds: number;
  memoryBytesMax: number;
}

const chunkBytes = 65_536;
const tagBytes = 16;
const job = JSON.parse(process.env.CLAVIGER_BENCH_JOB ?? "{}") as BackupJob;
const database = new Client({ ...job.database, database: "claviger" });
await database.connect();
const began = performance.now();
const before = process.cpuUsage();
await (job.side === "claviger" ? ours() : bare());
const { system, user } = process.cpuUsage(before);
const sample: BackupSample = {
  seconds: (performance.now() - began) / 1000,
  cpuSeconds: (system + user) / 1e6,
  memoryBytesMax: process.resourceUsage().maxRSS * 1024,
};
await database.end();
process.stdout.write(JSON.stringify(sample));

async function ours(): Promise<void> {
  if (job.what === "create") {
    using claviger = createClaviger({ config: job.configuration });
    await createBackup({ claviger, database, file: job.file, keepDays: 1, onProgress: () => undefined });
    return;
  }
  const shares = readdirSync(job.recoveryDirectory)
    .slice(0, 2)
    .map((name) => readFileSync(join(job.recoveryDirectory, name), "utf8"));
  using recoveryKey = await combineShares(shares);
  const directory = mkdtempSync(`${job.file}-opened-`);
  try {
    await openBackup(createReadStream(job.file, { highWaterMark: 1024 * 1024 }), recoveryKey, directory);
    await replaceRows(database, directory, () => undefined);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** COPY, and a loop that seals or opens what it gives: nothing is checked, and nobody vouches for it. */
async function bare(): Promise<void> {
  const key = Buffer.alloc(32, 7);
  const tables = await tablesOf(database);
  await database.query("BEGIN");
  if (job.what === "create") {
    const files = tables.map((table, at) => ({ table, path: `${job.file}.${at}` }));
    for (const { path, table } of files) {
      const rows = database.query(copyTo(`COPY ${sqlName(table)} (${columnList(table.columns)}) TO STDOUT`));
      await pipeline(rows, sealing(key), createWriteStream(path, { flush: true }));
    }
  } else {
    await database.query("SET LOCAL session_replication_role = replica");
    await database.query(`TRUNCATE ${tables.map(sqlName).join(", ")}`);
    for (const [at, table] of tables.entries()) {
      const rows = database.query(
        copyFrom(`COPY ${sqlName(table)} (${columnList(table.columns)}) FROM STDIN`),
      );
      await pipeline(createReadStream(`${job.file}.${at}`), opening(key), rows);
    }
  }
  await database.query("COMMIT");
}

function sealing(key: Buffer) {
  return async function* seal(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const reader = new ByteReader(source);
    for (let chunk = await reader.read(chunkBytes); chunk.length > 0; chunk = await reader.read(chunkBytes)) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      yield Buffer.concat([nonce, cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
    }
  };
}

function opening(key: Buffer) {
  return async function* open(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const reader = new ByteReader(source);
    for (;;) {
      const sealed = await reader.read(12 + chunkBytes + tagBytes);
      if (sealed.length === 0) return;
      const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12));
      decipher.setAuthTag(sealed.subarray(-tagBytes));
      yield Buffer.concat([decipher.update(sealed.subarray(12, -tagBytes)), decipher.final()]);
    }
  };
}
