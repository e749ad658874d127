import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readSupervisorFile } from "@claviger/local";
import { Client } from "pg";
import { expect } from "vitest";
import { type TestInstallation, unique, until } from "../harness/installation.ts";

export type Part = Parameters<TestInstallation["pidOf"]>[0];

/** What a caller was told had happened. */
interface Acknowledged {
  name: string;
  keyId: string;
  ciphertext: Uint8Array;
  plaintext: Buffer;
}

/** What a caller may be told while something is away; everything else is a bug. */
const passing = ["unavailable", "deadline-exceeded"];
const workers = 3;
const pauseMilliseconds = 20;
/** The outbox and the spool send again what the log has not confirmed after half a minute. */
const arrivalMilliseconds = 60_000;

/** Callers who make keys and use them, without a pause, and write down what they were told. */
export class Workload {
  readonly acknowledged: Acknowledged[] = [];
  readonly #house: TestInstallation;
  readonly #keyring = unique("ring");
  readonly #acknowledgedAt: number[] = [];
  readonly #surprises: unknown[] = [];
  #running: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(house: TestInstallation) {
    this.#house = house;
  }

  async start(): Promise<void> {
    await this.#house.claviger.keyrings.createKeyring({ name: this.#keyring });
    this.#acknowledgedAt.push(performance.now());
    this.#running = Promise.all(Array.from({ length: workers }, (_, at) => this.#work(at)));
  }

  async #work(worker: number): Promise<void> {
    for (let count = 0; !this.#stopped; count += 1) {
      await this.#makeAndUse(`${this.#keyring}/k-${worker}-${count}`).catch((error: unknown) => {
        this.#surprises.push(error);
        this.#stopped = true;
      });
      await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
    }
  }

  async #makeAndUse(name: string): Promise<void> {
    const { cryptography, keyGeneration } = this.#house.claviger;
    const requestId = randomUUID();
    const { key } = await insist(() =>
      keyGeneration.createKey({ requestId, name, algorithm: "aes-256-gcm" }),
    );
    const plaintext = Buffer.from(`plaintext of ${name}`);
    const { ciphertext } = await insist(() => cryptography.encrypt({ name, plaintext }));
    this.acknowledged.push({ name, keyId: key!.id, ciphertext, plaintext });
    this.#acknowledgedAt.push(performance.now());
  }

  /** Resolves when so many more have been acknowledged. */
  async progress(count: number, timeoutMilliseconds: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    await until(() => this.#surprises.length > 0 || this.acknowledged.length >= wanted, timeoutMilliseconds);
    expect(this.#surprises).toEqual([]);
  }

  /** Ends the callers. Resolves to the longest time that nobody was told anything, in milliseconds. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#running;
    expect(this.#surprises).toEqual([]);
    const times = [...this.#acknowledgedAt];
    return Math.max(...times.slice(1).map((time, at) => time - times[at]!));
  }

  /** Everything that was acknowledged is there, once, is what it was, and opens what it sealed. */
  async expectEverythingKept(): Promise<void> {
    const { cryptography } = this.#house.claviger;
    const rows = await askDatabase<{ name: string; id: string; versions: string }>(
      this.#house,
      `select keyring || '/' || name as name, id,
         (select count(*) from storage.key_versions where key_id = id) as versions
       from storage.keys where keyring = $1`,
      [this.#keyring],
    );
    const kept = new Map(rows.map((row) => [row.name, row]));
    expect(rows).toHaveLength(kept.size);
    for (const { ciphertext, keyId, name, plaintext } of this.acknowledged) {
      expect(kept.get(name)).toEqual({ name, id: keyId, versions: "1" });
      const opened = await insist(() => cryptography.decrypt({ name, ciphertext }));
      expect(Buffer.from(opened.plaintext).equals(plaintext), name).toBe(true);
    }
  }

  /** Each acknowledged creation and each acknowledged use is in the log. */
  async expectEverythingRecorded(): Promise<void> {
    const wanted = this.acknowledged.flatMap(({ name }) => [`${name} CreateKey`, `${name} Encrypt`]);
    const missing = async (): Promise<string[]> => {
      const rows = await askDatabase<{ what: string }>(
        this.#house,
        `select distinct resource || ' ' || split_part(method, '/', 2) as what from audit.records
         where starts_with(resource, $1) and service = 'generator' and outcome = 'allowed'`,
        [`${this.#keyring}/`],
      );
      const known = new Set(rows.map(({ what }) => what));
      return wanted.filter((what) => !known.has(what));
    };
    await until(async () => (await missing()).length === 0, arrivalMilliseconds).catch(async () => {
      expect(await missing()).toEqual([]);
    });
  }
}

/** Asks again, as callers do, while something is away. */
export async function insist<T>(call: () => Promise<T>, timeoutMilliseconds = 30_000): Promise<T> {
  const deadline = performance.now() + timeoutMilliseconds;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { kind } = error as { kind?: string };
      if (kind === undefined || !passing.includes(kind) || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
    }
  }
}

/** Ends a part as a power cut would, at once; it is started again by its supervisor. */
export function killPart(house: TestInstallation, part: Part): void {
  process.kill(house.pidOf(part), "SIGKILL");
}

/** Resolves when every part runs. */
export async function untilAllRun(house: TestInstallation): Promise<void> {
  await until(() => readSupervisorFile(house.layout)!.parts.every(({ state }) => state === "ready"), 30_000);
}

/** Stops a part where it stands while `work` runs: it is there, holds its connections, and says nothing. */
export async function whileStopped(
  house: TestInstallation,
  part: Part,
  work: () => Promise<void>,
): Promise<void> {
  const pid = house.pidOf(part);
  process.kill(pid, "SIGSTOP");
  try {
    await work();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

/** As the database's owner, on a connection of its own: one kept open would not outlive the database. */
export async function askDatabase<Row>(
  house: TestInstallation,
  sql: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new Client({
    host: house.layout.postgresql.socketDirectory,
    port: house.ports.postgresql,
    database: "claviger",
    user: "postgres",
    password: readFileSync(house.layout.postgresql.superuserPassword, "utf8").trim(),
  });
  await client.connect();
  try {
    return (await client.query(sql, values)).rows as Row[];
  } finally {
    await client.end();
  }
}
