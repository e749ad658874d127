import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import {
  type BackupEnd,
  type BackupHeader,
  type BackupManifest,
  encodeHeader,
  encodeParts,
  SectionCounter,
  type SectionHead,
  type SectionSummary,
  sealStream,
} from "@claviger/backup";
import { beginBackup, type Claviger } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Client } from "pg";
import { to as copyTo } from "pg-copy-streams";
import { appliedMigrations, columnList, sectionName, sqlName, tablesOf } from "./tables.ts";

export interface CreateOptions {
  claviger: Claviger;
  /** As the superuser, who sees every service's schema; in the one transaction of this. */
  database: Client;
  file: string;
  /** 0 for as long as usual. */
  keepDays: number;
  onProgress: (message: string) => void;
}

export interface CreatedBackup {
  id: string;
  file: string;
  bytes: number;
  createdAt: string;
  expiresAt: string;
  recoveryKey: string;
  manifestSha256: string;
  sections: SectionSummary[];
}

/**
 * One file with everything that the services keep, as of one moment: what is sealed or wrapped in the rows stays
 * so, and all of it is encrypted under a key that only the recovery key's custodians open. Streams; the file
 * appears when it is whole.
 */
export async function createBackup(options: CreateOptions): Promise<CreatedBackup> {
  const { claviger, database, file } = options;
  const begun = await beginBackup(claviger);
  using key = begun.key;
  const createdAt = new Date().toISOString();
  const header: BackupHeader = {
    v: 1,
    id: begun.backupId,
    trustDomain: claviger.trustDomain,
    createdAt,
    recoveryKey: begun.recoveryKey,
    wrappedKey: Buffer.from(begun.wrappedKey).toString("base64"),
  };
  const contents = new Contents(options, header, Buffer.from(begun.ceremony));
  const part = `${file}.part`;
  try {
    await database.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const sealed = sealStream(key.expose(), encodeHeader(header), contents.parts());
    await pipeline(sealed, createWriteStream(part, { mode: 0o600, flush: true }));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  } finally {
    await database.query("ROLLBACK").catch(() => undefined);
  }
  await writeFile(`${file}.manifest.json`, contents.evidence(), { mode: 0o644 });
  const { size: bytes } = await stat(file);
  const { id, recoveryKey } = header;
  return { id, file, bytes, createdAt, recoveryKey, ...contents.summary() };
}

const progressMilliseconds = 1000;

/** What goes into a backup, in its order. */
class Contents {
  readonly #options: CreateOptions;
  readonly #header: BackupHeader;
  readonly #ceremony: Buffer;
  readonly #sections: SectionSummary[] = [];
  #manifest = Buffer.alloc(0);
  #end: BackupEnd | undefined;
  #expiresAt = "";

  constructor(options: CreateOptions, header: BackupHeader, ceremony: Buffer) {
    this.#options = options;
    this.#header = header;
    this.#ceremony = ceremony;
  }

  async *parts(): AsyncGenerator<Buffer> {
    const { database } = this.#options;
    yield* this.#section({ name: "ceremony" }, [Buffer.concat([this.#ceremony, Buffer.from("\n")])]);
    yield* this.#section({ name: "keyring-keys" }, keyringKeys(database));
    const migrations = await appliedMigrations(database);
    for (const table of await tablesOf(database)) {
      const rows = database.query(copyTo(`COPY ${sqlName(table)} (${columnList(table.columns)}) TO STDOUT`));
      yield* this.#section({ name: sectionName(table), columns: table.columns }, rows);
    }
    const { createdAt, id, trustDomain } = this.#header;
    const manifest: BackupManifest = {
      v: 1,
      id,
      trustDomain,
      createdAt,
      migrations,
      sections: this.#sections,
    };
    this.#manifest = Buffer.from(JSON.stringify(manifest), "utf8");
    this.#end = await this.#attested();
    yield* encodeParts("end", this.#end);
  }

  async *#section(
    head: SectionHead,
    content: AsyncIterable<Buffer> | Iterable<Buffer>,
  ): AsyncGenerator<Buffer> {
    const { onProgress } = this.#options;
    yield* encodeParts("section", head);
    const counter = new SectionCounter(head.name);
    let saidAt = performance.now();
    for await (const bytes of content) {
      counter.take(bytes);
      yield* encodeParts("data", bytes);
      if (performance.now() - saidAt > progressMilliseconds) {
        saidAt = performance.now();
        onProgress(`${head.name}: ${counter.rows.toLocaleString("en")} rows so far`);
      }
    }
    const summary = counter.summary();
    this.#sections.push(summary);
    if (summary.rows > 0) onProgress(`${head.name}: ${summary.rows.toLocaleString("en")} rows`);
  }

  async #attested(): Promise<BackupEnd> {
    const { record, mac, signature, signerVersion } = await this.#options.claviger.backup.attestBackup({
      backupId: this.#header.id,
      recoveryKey: this.#header.recoveryKey,
      keepDays: this.#options.keepDays,
      manifestDigest: createHash("sha256").update(this.#manifest).digest(),
    });
    const said = JSON.parse(Buffer.from(record).toString("utf8")) as { expiresAt: string };
    this.#expiresAt = said.expiresAt;
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
    const manifest = this.#manifest.toString("base64");
    return { manifest, record: text(record), mac: text(mac), signature: text(signature), signerVersion };
  }

  /** The same as in the backup's end, for who may not open it: what it holds, and who vouches for that. */
  evidence(): string {
    if (this.#end === undefined) throw new DomainError("internal", "the backup has not ended");
    return `${JSON.stringify(this.#end, undefined, 2)}\n`;
  }

  summary() {
    const manifestSha256 = createHash("sha256").update(this.#manifest).digest("hex");
    return { manifestSha256, expiresAt: this.#expiresAt, sections: this.#sections };
  }
}

/** What has to be in the token again before a restored key can be used: JSON by the line. */
async function* keyringKeys(database: Client): AsyncGenerator<Buffer> {
  const { rows } = await database.query<{ id: string; wrap: Buffer }>(
    `SELECT token_object_id AS id, recovery_wrap AS wrap FROM storage.keyring_generations g
     WHERE NOT EXISTS (SELECT FROM storage.keyring_generation_ends e
       WHERE e.keyring = g.keyring AND e.generation = g.generation)
     ORDER BY keyring, generation`,
  );
  for (const { id, wrap } of rows) {
    yield Buffer.from(`${JSON.stringify({ id, recoveryWrap: wrap.toString("base64") })}\n`, "utf8");
  }
}
