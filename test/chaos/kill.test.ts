import { afterEach, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { askDatabase, insist, killPart, untilAllRun, Workload } from "./workload.ts";

const house = useInstallation();
const { keyGeneration, keyrings, keys, rotation } = house.claviger;
const silenceMillisecondsMax = 5000;

afterEach(() => untilAllRun(house));

test.each(["storage", "generator", "distribution", "rotation", "audit", "nats", "postgresql"] as const)(
  "when %s is killed, callers go on within five seconds, and everything acknowledged is kept and recorded",
  { timeout: 150_000 },
  async (part) => {
    const workload = new Workload(house);
    await workload.start();
    await workload.progress(10, 20_000);
    killPart(house, part);
    await workload.progress(30, 40_000);
    const silence = await workload.stop();
    await untilAllRun(house);
    await workload.expectEverythingKept();
    await workload.expectEverythingRecorded();
    expect(silence).toBeLessThan(silenceMillisecondsMax);
  },
);

test("when everything that callers need is killed again and again, nothing acknowledged is lost", {
  timeout: 200_000,
}, async () => {
  const workload = new Workload(house);
  await workload.start();
  for (const part of ["storage", "generator", "storage", "generator"] as const) {
    await workload.progress(3, 40_000);
    killPart(house, part);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
  }
  await workload.progress(5, 60_000);
  await workload.stop();
  await workload.expectEverythingKept();
  await workload.expectEverythingRecorded();
});

/** Fifty, where somebody has the time: `CLAVIGER_TEST_KILLS=50 npm test -- --project chaos test/chaos/kill.test.ts`. */
const kills = Number(process.env.CLAVIGER_TEST_KILLS ?? 8);

test(`when PostgreSQL is killed ${kills} times under load, nothing acknowledged is lost and nothing half applied`, {
  timeout: 120_000 + kills * 20_000,
}, async () => {
  const began = new Date();
  const workload = new Workload(house);
  await workload.start();
  for (let count = 0; count < kills; count += 1) {
    await workload.progress(5, 40_000);
    killPart(house, "postgresql");
    // Also while it recovers from the kill before.
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 400));
  }
  await workload.progress(10, 60_000);
  await workload.stop();
  await untilAllRun(house);
  await workload.expectEverythingKept();
  await workload.expectEverythingRecorded();
  const halves = await askDatabase<{ count: string }>(
    house,
    `select count(*) from storage.keys k where not exists (
       select from storage.key_versions v join storage.generation_records r using (key_id, version)
         join storage.key_uses u using (key_id, version)
       where v.key_id = k.id) and k.algorithm = 'aes-256-gcm' and k.state = 'active' and k.created_at >= $1`,
    [began],
  );
  expect(Number(halves[0]!.count)).toBe(0);
});

test("when the bus and the log are killed together, every acknowledged operation's record arrives afterwards", {
  timeout: 150_000,
}, async () => {
  const workload = new Workload(house);
  await workload.start();
  await workload.progress(5, 20_000);
  killPart(house, "nats");
  killPart(house, "audit");
  await workload.progress(30, 40_000);
  expect(await workload.stop()).toBeLessThan(silenceMillisecondsMax);
  await untilAllRun(house);
  await workload.expectEverythingRecorded();
});

test("a service that is told to end does so by itself, also with a stream open, and has let go of everything first", {
  timeout: 60_000,
}, async () => {
  const ring = unique("streamed");
  await keyrings.createKeyring({ name: ring });
  const name = `${ring}/key`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  let letGo: (() => void) | undefined;
  async function* oneAndThenNothing() {
    yield { id: 1n, operation: { case: "encrypt" as const, value: { name, plaintext: Buffer.from("m") } } };
    await new Promise<void>((resolve) => {
      letGo = resolve;
    });
  }
  const stream = house.claviger.pipeline(oneAndThenNothing())[Symbol.asyncIterator]();
  expect((await stream.next()).value.result.case).toBe("encrypt");
  const pid = house.pidOf("generator");
  const stops = (): number => house.serviceLog("generator").split('"message":"stopped"').length;
  const before = stops();
  const logged = house.serviceLog("generator").length;
  process.kill(pid, "SIGTERM");
  const { milliseconds } = await until(() => stops() > before, 8000);
  // What a supervisor grants, before it kills.
  expect(milliseconds).toBeLessThan(4000);
  expect(house.serviceLog("generator").slice(logged)).not.toContain("did not stop cleanly");
  letGo?.();
  await stream.next().catch(() => undefined);
  await insist(() => house.claviger.cryptography.encrypt({ name, plaintext: Buffer.from("m") }));
});

test("a key that is due is rotated once, however often the rotation service dies around its hour", {
  timeout: 150_000,
}, async () => {
  const ring = unique("ring");
  await insist(() => keyrings.createKeyring({ name: ring }));
  const names = Array.from({ length: 8 }, (_, at) => `${ring}/k${at}`);
  for (const name of names) {
    await insist(() =>
      keyGeneration.createKey({ name, algorithm: "aes-256-gcm", rotationPeriodSeconds: 60n }),
    );
  }
  await until(async () => {
    const { policies } = await rotation.listRotationPolicies({ pageSize: 1000 });
    return names.every((name) => policies.some((policy) => policy.name === name));
  }, 20_000);
  const versions = () =>
    Promise.all(
      names.map(async (name) => (await insist(() => keys.getKey({ name }))).key?.currentVersion ?? 0),
    );
  await new Promise((resolve) => setTimeout(resolve, 52_000));
  for (let attempt = 0; attempt < 8; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 900));
    await untilAllRun(house);
    killPart(house, "rotation");
  }
  await until(async () => (await versions()).every((version) => version >= 2), 45_000);
  expect(await versions()).toEqual(names.map(() => 2));
  const doubled = await askDatabase(
    house,
    `select subject from storage.keys, lateral (select count(*) as rotations from storage.key_versions
       where key_id = keys.id) counted, lateral (select keyring || '/' || name as subject) named
     where keyring = $1 and rotations <> 2`,
    [ring],
  );
  expect(doubled).toEqual([]);
  for (const name of names) await insist(() => keys.setRotationPeriod({ name, rotationPeriodSeconds: 0n }));
});
