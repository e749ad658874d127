import { randomBytes } from "node:crypto";
import { type Database, openDatabase, type Transaction } from "@claviger/database";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { untilAllRun, Workload } from "./workload.ts";

// PostgreSQL as users run it: busy, slow, restarted, and cutting connections. What the services use to talk to it is
// tried in a role and a table of its own; what callers see, through the services.
const house = useInstallation();
const role = unique("trial").replace("-", "_");
const password = randomBytes(18).toString("base64url");
const databases: Database[] = [];

function open(options: { connectionsMax?: number; statementTimeoutMilliseconds?: number } = {}): Database {
  const database = openDatabase({
    host: house.layout.postgresql.socketDirectory,
    port: house.ports.postgresql,
    database: "claviger",
    user: role,
    password,
    ...options,
  });
  databases.push(database);
  return database;
}

const insert = (tx: Transaction, id: string) => tx.query(`INSERT INTO ${role}.rows VALUES ($1, 0)`, [id]);
const count = async (id: string): Promise<number> =>
  (await house.superuser(`SELECT 1 FROM ${role}.rows WHERE id = $1`, [id])).length;

beforeAll(async () => {
  for (const statement of [
    `CREATE ROLE ${role} LOGIN PASSWORD '${password}' CONNECTION LIMIT 12`,
    `GRANT CONNECT ON DATABASE claviger TO ${role}`,
    `CREATE SCHEMA ${role}`,
    `CREATE TABLE ${role}.rows (id text PRIMARY KEY, number integer NOT NULL)`,
    `GRANT USAGE ON SCHEMA ${role} TO ${role}`,
    `GRANT SELECT, INSERT, UPDATE ON ${role}.rows TO ${role}`,
    `INSERT INTO ${role}.rows VALUES ('a', 0), ('b', 0), ('counter', 0)`,
  ]) {
    await house.superuser(statement);
  }
});
afterEach(async () => {
  for (const database of databases.splice(0)) await database[Symbol.asyncDispose]();
});
afterAll(async () => {
  await house.superuser(`DROP SCHEMA ${role} CASCADE`);
  await house.superuser(`REVOKE ALL ON DATABASE claviger FROM ${role}`);
  await house.superuser(`DROP ROLE ${role}`);
});

test("where every connection is in use, a caller waits three seconds, is told so, and the next is served", async () => {
  const database = open({ connectionsMax: 2 });
  const [first, second] = [unique("held"), unique("held")];
  const hold = (id: string) =>
    database.transaction(async (tx) => {
      await insert(tx, id);
      await tx.query("SELECT pg_sleep(5)");
    });
  const held = [hold(first), hold(second)];
  await new Promise((resolve) => setTimeout(resolve, 300));
  const began = performance.now();
  const refused = unique("refused");
  const refusal = await refusalOf(database.transaction((tx) => insert(tx, refused)));
  expect(refusal).toMatchObject({
    kind: "unavailable",
    message: "the database has more work than it can do",
  });
  expect(performance.now() - began).toBeLessThan(5000);
  await Promise.all(held);
  await database.transaction((tx) => insert(tx, refused));
  expect([await count(first), await count(second), await count(refused)]).toEqual([1, 1, 1]);
});

test("where the server has no connection left, a caller is told the same", async () => {
  const database = open({ connectionsMax: 20 });
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, () => database.transaction((tx) => tx.query("SELECT pg_sleep(0.5)"))),
  );
  const refused = answers.flatMap((answer) =>
    answer.status === "rejected" ? [answer.reason as { kind: string }] : [],
  );
  expect(refused.length).toBeGreaterThan(0);
  for (const { kind } of refused) expect(kind).toBe("unavailable");
});

test("a transaction that met another is run again, so that each takes effect once", async () => {
  const database = open({ connectionsMax: 4 });
  const before = await house.superuser<{ number: number }>(
    `SELECT number FROM ${role}.rows WHERE id = 'counter'`,
  );
  let runs = 0;
  const add = () =>
    database.transaction(async (tx) => {
      runs += 1;
      await tx.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
      const [row] = await tx.query<{ number: number }>(
        `SELECT number FROM ${role}.rows WHERE id = 'counter'`,
      );
      await tx.query(`UPDATE ${role}.rows SET number = $1 WHERE id = 'counter'`, [row!.number + 1]);
    });
  let done = 0;
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.allSettled([add(), add(), add()]);
    for (const answer of answers) {
      if (answer.status === "fulfilled") done += 1;
      else expect((answer.reason as { kind: string }).kind).toBe("aborted");
    }
  }
  const after = await house.superuser<{ number: number }>(
    `SELECT number FROM ${role}.rows WHERE id = 'counter'`,
  );
  expect(after[0]!.number - before[0]!.number, "as many as were told that it was done").toBe(done);
  expect(done).toBeGreaterThan(20);
  expect(runs, "some met").toBeGreaterThan(30);
});

test("one that meets others again and again is refused in the end, and nothing of it stays", async () => {
  const database = open();
  const id = unique("again");
  let runs = 0;
  let committed = 0;
  const refusal = await refusalOf(
    database.transaction(async (tx) => {
      runs += 1;
      tx.afterCommit(() => {
        committed += 1;
      });
      await insert(tx, id);
      await tx.query("DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = 'serialization_failure'; END $$");
    }),
  );
  expect(refusal).toMatchObject({ kind: "aborted", message: "too many changes to the same rows at once" });
  expect({ runs, committed, rows: await count(id) }).toEqual({ runs: 5, committed: 0, rows: 0 });
});

test("two that wait for each other both come to their end", async () => {
  const database = open();
  const both = (one: string, other: string) =>
    database.transaction(async (tx) => {
      await tx.query(`UPDATE ${role}.rows SET number = number + 1 WHERE id = $1`, [one]);
      await tx.query("SELECT pg_sleep(0.2)");
      await tx.query(`UPDATE ${role}.rows SET number = number + 1 WHERE id = $1`, [other]);
    });
  await Promise.all([both("a", "b"), both("b", "a")]);
  const rows = await house.superuser<{ number: number }>(
    `SELECT number FROM ${role}.rows WHERE id IN ('a', 'b')`,
  );
  expect(rows.map(({ number }) => number)).toEqual([2, 2]);
});

test("a slow query is cancelled at its deadline, and what came before it in its transaction is not there", async () => {
  const database = open({ statementTimeoutMilliseconds: 300 });
  const id = unique("slow");
  const began = performance.now();
  const refusal = await refusalOf(
    database.transaction(async (tx) => {
      await insert(tx, id);
      await tx.query("SELECT pg_sleep(30)");
    }),
  );
  expect(refusal).toMatchObject({ kind: "deadline-exceeded", message: "the database took too long" });
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(await count(id)).toBe(0);
  const running = await house.superuser(
    "SELECT 1 FROM pg_stat_activity WHERE usename = $1 AND state = 'active'",
    [role],
  );
  expect(running, "it does not run on in the server").toEqual([]);
});

test("a connection that is cut in the middle of a transaction leaves nothing of it, and the next caller gets another", async () => {
  const database = open({ connectionsMax: 1 });
  const id = unique("cut");
  const refusal = await refusalOf(
    database.transaction(async (tx) => {
      await insert(tx, id);
      const [{ pid }] = (await tx.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")) as [
        { pid: number },
      ];
      await house.superuser("SELECT pg_terminate_backend($1)", [pid]);
      await tx.query("SELECT 1");
    }),
  );
  expect(refusal).toMatchObject({ kind: "unavailable", message: "the database cannot be reached" });
  expect(await count(id)).toBe(0);
  await database.transaction((tx) => insert(tx, id));
  expect(await count(id)).toBe(1);
});

test("rows that somebody holds locked make callers wait for no longer than the deadline, and then be told", {
  timeout: 60_000,
}, async () => {
  const { keyGeneration, keyrings, keys } = house.claviger;
  const ring = unique("locked");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm" });
  const holder = new Client({
    host: house.layout.postgresql.socketDirectory,
    port: house.ports.postgresql,
    database: "claviger",
    user: "postgres",
    password: (await import("node:fs"))
      .readFileSync(house.layout.postgresql.superuserPassword, "utf8")
      .trim(),
  });
  await holder.connect();
  try {
    await holder.query("BEGIN");
    await holder.query("SELECT 1 FROM storage.keys WHERE keyring = $1 FOR UPDATE", [ring]);
    const began = performance.now();
    const refusal = await refusalOf(keys.changeKeyState({ name: `${ring}/k`, state: "suspended" }));
    expect(["deadline-exceeded", "unavailable"]).toContain(refusal.kind);
    expect(performance.now() - began).toBeLessThan(20_000);
    await holder.query("ROLLBACK");
  } finally {
    await holder.end();
  }
  expect((await keys.getKey({ name: `${ring}/k` })).key?.state).toBe("active");
  await keys.changeKeyState({ name: `${ring}/k`, state: "suspended" });
});

test("when PostgreSQL is restarted under load, callers go on, and nothing is lost or half applied", {
  timeout: 180_000,
}, async () => {
  const workload = new Workload(house);
  await workload.start();
  for (let time = 0; time < 2; time += 1) {
    await workload.progress(5, 60_000);
    // As `pg_ctl restart -m fast`: sessions are ended, and a checkpoint is written.
    process.kill(house.pidOf("postgresql"), "SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await workload.progress(5, 90_000);
  await workload.stop();
  await untilAllRun(house);
  await workload.expectEverythingKept();
  await workload.expectEverythingRecorded();
});
