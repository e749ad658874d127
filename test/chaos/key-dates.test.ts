import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { RegistryAccess } from "../harness/registry-access.ts";
import { SecondStorage } from "../harness/second-storage.ts";
import { insist, killPart, untilAllRun, whileStopped } from "./workload.ts";

const house = useInstallation();
const { audit, cryptography, keyGeneration, keyrings, keys } = house.claviger;
const registry = new RegistryAccess(house);
afterAll(() => registry[Symbol.asyncDispose]());
const message = Buffer.from("in its time");

async function newKeys(count: number, options: object): Promise<string[]> {
  const ring = unique("days");
  await insist(() => keyrings.createKeyring({ name: ring }));
  const names = Array.from({ length: count }, (_, at) => `${ring}/k${at}`);
  for (const name of names) await insist(() => keyGeneration.createKey({ name, ...options } as never));
  return names;
}

test("with storage and the bus stopped, the days that came with a key act at their second", {
  timeout: 90_000,
}, async () => {
  const tomorrow = timestampFromDate(new Date(Date.now() + 86_400_000));
  const [name = ""] = await newKeys(1, { algorithm: "hmac-sha256", activateAt: tomorrow });
  const [from, to] = [new Date(Date.now() + 3500), new Date(Date.now() + 7000)];
  const dates = { activateAt: timestampFromDate(from), expireAt: timestampFromDate(to) };
  await keys.scheduleKey({ name, ...dates });
  // Refused, and held by the generator from now on, for the lease of 10 s.
  await expect(cryptography.mac({ name, message })).rejects.toMatchObject({ kind: "failed-precondition" });
  const served: number[] = [];
  const begun: number[] = [];
  await whileStopped(house, "nats", () =>
    whileStopped(house, "storage", async () => {
      await until(async () => {
        const began = Date.now();
        const answered = await cryptography.mac({ name, message }, { deadlineMilliseconds: 1000 }).then(
          () => true,
          () => false,
        );
        if (answered) {
          begun.push(began);
          served.push(Date.now());
        }
        return began > to.getTime() + 1000;
      }, 30_000);
    }),
  );
  expect(served.length).toBeGreaterThan(0);
  expect(served[0]).toBeGreaterThanOrEqual(from.getTime());
  expect(begun.at(-1)).toBeLessThan(to.getTime());
  await untilAllRun(house);
  // Storage writes it down when it is back.
  await until(async () => (await registry.row(name)).state === "deactivated", 20_000);
});

test("of two storages that are killed again and again, each key's end and each of its days is one's, once", {
  timeout: 240_000,
}, async () => {
  const count = 24;
  const doomed = await newKeys(count, { algorithm: "aes-256-gcm", destroyAfterDays: 7 });
  const expireAt = timestampFromDate(new Date(Date.now() + 25_000));
  const expiring = await newKeys(count, { algorithm: "aes-256-gcm", expireAt });
  await using second = await SecondStorage.start(house);
  for (const name of doomed) await insist(() => keys.destroyKey({ name }));
  for (const [at, name] of doomed.entries()) {
    await registry.endPeriod(name, new Date(Date.now() + 2000 + at * 300));
  }
  for (let round = 0; round < 4; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1200));
    if (round % 2 === 0) {
      await second.kill();
      await untilAllRun(house);
      second.startAgain();
    } else {
      killPart(house, "storage");
    }
  }
  await untilAllRun(house);
  const states = async (names: readonly string[]) =>
    Promise.all(names.map(async (name) => (await registry.row(name)).state));
  await until(async () => (await states(doomed)).every((state) => state === "destroyed"), 60_000);
  await until(async () => (await states(expiring)).every((state) => state === "deactivated"), 60_000);
  for (const [names, method] of [
    [doomed, "claviger.storage/Purge"],
    [expiring, "claviger.storage/ActOnDate"],
  ] as const) {
    for (const name of names) {
      const { value } = await until(async () => {
        const { records } = await insist(() => audit.searchRecords({ resource: name, method }));
        return records.length > 0 ? records : undefined;
      }, 60_000);
      expect(value.length, `${method} of ${name}`).toBe(1);
    }
  }
  const ids = await Promise.all(doomed.map(async (name) => (await registry.row(name)).id));
  const [rows] = await house.superuser<{ ended: string; left: string }>(
    `select (select count(*) from storage.destructions where key_id = any($1)) as ended,
       (select count(*) from storage.key_versions where key_id = any($1) and material is not null) as left`,
    [ids],
  );
  expect(rows).toEqual({ ended: String(count), left: "0" });
});

test("a generator that is killed loses what it had not reported, and never counts a use that was not made", {
  timeout: 120_000,
}, async () => {
  const [name = ""] = await newKeys(1, { algorithm: "hmac-sha256" });
  const caller = await house.enrol(unique("counted"), "user", name);
  let made = 0n;
  for (let round = 0; round < 3; round += 1) {
    for (let at = 0; at < 20; at += 1) {
      await caller.cryptography.mac({ name, message });
      made += 1n;
    }
    await new Promise((resolve) => setTimeout(resolve, round * 2500));
    killPart(house, "generator");
    await untilAllRun(house);
    await until(() => caller.cryptography.mac({ name, message }), 30_000);
    made += 1n;
  }
  await until(async () => {
    const { callers } = await insist(() => keys.listKeyCallers({ name }));
    return callers.some(({ caller: who }) => who === caller.uri);
  }, 20_000);
  await new Promise((resolve) => setTimeout(resolve, 6000));
  const { callers } = await keys.listKeyCallers({ name });
  expect(callers.length).toBe(1);
  expect(callers[0]!.uses).toBeGreaterThan(0n);
  expect(callers[0]!.uses).toBeLessThanOrEqual(made);
});
