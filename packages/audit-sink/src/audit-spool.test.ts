import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildAuditRecord, openBundle, sealConfirmation } from "@claviger/audit-record";
import type { Bus, BusMessage } from "@claviger/bus";
import { DomainError } from "@claviger/domain-error";
import { afterEach, expect, test } from "vitest";
import { AuditSpool } from "./index.ts";

const auditKey = Buffer.alloc(32, 3);
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** A bus that stores what it is given, and can be away. */
function fakeBus() {
  const stored = new Map<string, Uint8Array>();
  const handlers: ((message: BusMessage) => void)[] = [];
  const state = { away: false };
  const bus: Bus = {
    async publish(_subject, data, id) {
      if (state.away) throw new DomainError("unavailable", "away");
      stored.set(id, data);
    },
    broadcast() {},
    subscribe: (_pattern, handle) => handlers.push(handle),
    consume() {},
    status: () => ({ connected: !state.away, version: "" }),
    async [Symbol.asyncDispose]() {},
  };
  const confirm = (ids: string[]) => {
    const data = sealConfirmation(ids, "generator", auditKey);
    for (const handle of handlers) handle({ subject: "claviger.confirm.generator", data });
  };
  return { bus, stored, state, confirm };
}

/** `b` stands for a UUID of b's. */
const idOf = (letter: string): string =>
  `${letter.repeat(8)}-${`${letter.repeat(4)}-`.repeat(3)}${letter.repeat(12)}`;

function idsIn(stored: ReadonlyMap<string, Uint8Array>): string[] {
  return [...stored.values()]
    .flatMap((message) => openBundle(message, "generator", auditKey))
    .map(({ id }) => id);
}

function record(letter: string, id = idOf(letter), note = "") {
  return buildAuditRecord({
    id,
    time: new Date(),
    service: "generator",
    method: "m",
    permission: "",
    resource: "*",
    outcome: "allowed",
    traceId: "",
    details: { note },
    personal: { actor: "a", certificateSerial: "" },
  });
}

function openSpool(bus: Bus, path?: string, recordsMax?: number) {
  const directory = mkdtempSync(join(tmpdir(), "claviger-spool-"));
  directories.push(directory);
  const file = path ?? join(directory, "spool.db");
  return AuditSpool.open({
    path: file,
    service: "generator",
    auditKey,
    bus,
    ...(recordsMax && { recordsMax }),
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !condition(); tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  expect(condition()).toBe(true);
}

test("what was kept while the bus was away survives a restart and reaches the bus whole", async () => {
  const { bus, state, stored } = fakeBus();
  state.away = true;
  const directory = mkdtempSync(join(tmpdir(), "claviger-spool-"));
  directories.push(directory);
  const path = join(directory, "spool.db");
  const first = await openSpool(bus, path);
  await Promise.all(["a", "b", "c"].map((id) => first.keep(record(id))));
  await first[Symbol.asyncDispose]();
  expect(stored.size).toBe(0);
  state.away = false;
  await using _second = await openSpool(bus, path);
  await until(() => idsIn(stored).length === 3);
  expect(idsIn(stored)).toEqual(["a", "b", "c"].map(idOf));
});

test("records that come together travel together, within the bounds of a bundle", async () => {
  const { bus, stored } = fakeBus();
  await using spool = await openSpool(bus);
  const letters = Array.from({ length: 300 }, (_, at) => at);
  await Promise.all(
    letters.map((at) =>
      spool.keep(record("a", `${String(at).padStart(8, "0")}-0000-0000-0000-000000000000`)),
    ),
  );
  await until(() => idsIn(stored).length === 300);
  expect(stored.size).toBe(3);
  const large = Array.from({ length: 40 }, (_, at) =>
    record("b", `${String(at).padStart(8, "1")}-0000-0000-0000-000000000000`, "x".repeat(4000)),
  );
  await Promise.all(large.map((each) => spool.keep(each)));
  await until(() => idsIn(stored).length === 340);
  for (const payload of stored.values()) expect(payload.length).toBeLessThanOrEqual(256 * 1024);
});

test("what the bus took and the log did not confirm goes again after a restart, and what it confirmed does not", async () => {
  const { bus, confirm, stored } = fakeBus();
  const directory = mkdtempSync(join(tmpdir(), "claviger-spool-"));
  directories.push(directory);
  const path = join(directory, "spool.db");
  const first = await openSpool(bus, path);
  await first.keep(record("a"));
  await until(() => stored.size === 1);
  await first.keep(record("b"));
  await until(() => stored.size === 2);
  confirm([idOf("a")]);
  await first[Symbol.asyncDispose]();
  stored.clear();
  await using _second = await openSpool(bus, path);
  await until(() => stored.size === 1);
  expect(idsIn(stored)).toEqual([idOf("b")]);
});

test("records of several commits travel together, and only the bundle's own confirmation forgets them", async () => {
  const { bus, confirm, state, stored } = fakeBus();
  const directory = mkdtempSync(join(tmpdir(), "claviger-spool-"));
  directories.push(directory);
  const path = join(directory, "spool.db");
  state.away = true;
  const first = await openSpool(bus, path);
  for (const letter of ["a", "b", "c"]) await first.keep(record(letter));
  state.away = false;
  await until(() => idsIn(stored).length === 3);
  expect(stored.size).toBe(1);
  const [bundle] = [...stored.keys()];
  // The first record's id is another bundle's: that of the record alone.
  confirm([idOf("a")]);
  await first[Symbol.asyncDispose]();
  stored.clear();

  const second = await openSpool(bus, path);
  // Where a restart came between, an old confirmation is not taken before the same bundle went again.
  confirm([bundle!]);
  await until(() => stored.size === 1);
  expect(idsIn(stored)).toEqual(["a", "b", "c"].map(idOf));
  confirm([bundle!]);
  await second[Symbol.asyncDispose]();
  stored.clear();

  await using third = await openSpool(bus, path);
  await third.keep(record("d"));
  await until(() => stored.size === 1);
  expect(idsIn(stored)).toEqual([idOf("d")]);
});

test("past its bound the spool refuses, and takes again once the log has confirmed", async () => {
  const { bus, confirm, stored } = fakeBus();
  await using spool = await openSpool(bus, undefined, 2);
  await spool.keep(record("a"));
  await until(() => stored.size === 1);
  await spool.keep(record("b"));
  await expect(spool.keep(record("c"))).rejects.toThrow("spool is full");
  await until(() => stored.size === 2);
  confirm([idOf("a"), idOf("b")]);
  for (let tries = 0; tries < 200; tries += 1) {
    const kept = await spool.keep(record("d")).then(
      () => true,
      () => false,
    );
    if (kept) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the spool never took a record again");
});
