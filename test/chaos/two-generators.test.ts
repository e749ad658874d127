import { createDecipheriv, randomBytes } from "node:crypto";
import type { Claviger } from "@claviger/client";
import { type SealedSecret, sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { SecondGenerator } from "../harness/second-generator.ts";
import { insist, whileStopped } from "./workload.ts";

const house = useInstallation();
const { access, keyGeneration, keyrings, keys } = house.claviger;
const plaintext = Buffer.from("either will do");
const leaseMilliseconds = 10_000;
const graceMilliseconds = 1000;
const clients: Claviger[] = [];
let second: SecondGenerator;

beforeAll(async () => {
  second = await SecondGenerator.start(house);
}, 60_000);
afterAll(async () => {
  for (const client of clients) client.close();
  await second?.[Symbol.asyncDispose]();
});

function both(of: Parameters<SecondGenerator["clientOf"]>[0], first: Claviger): Claviger[] {
  const client = second.clientOf(of);
  clients.push(client);
  return [first, client];
}

async function freshKey(): Promise<string> {
  const ring = unique("shared");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/key`, algorithm: "aes-256-gcm" });
  return `${ring}/key`;
}

/** How long until every call is refused so. */
async function allRefuse(calls: (() => Promise<unknown>)[], kind: string, within: number): Promise<number> {
  const times = await Promise.all(
    calls.map((call) =>
      until(
        () =>
          call().then(
            () => false,
            (error: { kind: string }) => {
              expect(error.kind).toBe(kind);
              return true;
            },
          ),
        within,
      ),
    ),
  );
  return Math.max(...times.map(({ milliseconds }) => milliseconds));
}

test("an import that began at one ends at the other, and at one of them alone", async () => {
  const [one, other] = both(house, house.claviger) as [Claviger, Claviger];
  const ring = unique("shared");
  await keyrings.createKeyring({ name: ring });
  const name = `${ring}/brought`;
  const bytes = randomBytes(32);
  const { importId, wrappingPublicKey } = await one.keyGeneration.beginImport({ name });
  const method = "claviger.generator.v1.KeyGenerationService/ImportKey";
  const sealed = (): Promise<SealedSecret> =>
    sealSecret(wrappingPublicKey, { method, name, version: 1 }, SecretBytes.take(Uint8Array.from(bytes)));
  const request = { name, algorithm: "aes-256-gcm", importId };
  const ended = await Promise.allSettled(
    [other, one, other, one].map(async (by) =>
      by.keyGeneration.importKey({ ...request, sealedMaterial: await sealed() }),
    ),
  );
  const refused = ended.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
  expect(refused.map((reason) => reason.kind)).toEqual(Array(3).fill("failed-precondition"));
  const { ciphertext } = await one.cryptography.encrypt({ name, plaintext });
  const opened = createDecipheriv("aes-256-gcm", bytes, ciphertext.subarray(25, 37));
  opened.setAAD(ciphertext.subarray(0, 37)).setAuthTag(ciphertext.subarray(-16));
  const text = Buffer.concat([opened.update(ciphertext.subarray(37, -16)), opened.final()]);
  expect(text).toEqual(plaintext);
});

test("what one makes the other uses, in software and in the HSM, and both count its uses", async () => {
  const administrators = both(house, house.claviger);
  const [one, other] = administrators as [Claviger, Claviger];
  const ring = unique("shared");
  await other.keyrings.createKeyring({ name: ring });
  for (const protection of ["software", "hsm"]) {
    const name = `${ring}/${protection}`;
    await one.keyGeneration.createKey({ name, algorithm: "aes-256-gcm", protection });
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const { ciphertext } = await from.cryptography.encrypt({ name, plaintext });
      expect(Buffer.from((await to.cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
    }
  }
  const [uses] = await house.superuser<{ reserved: string }>(
    "SELECT reserved FROM storage.key_uses JOIN storage.keys ON keys.id = key_id WHERE keyring = $1 AND keys.name = $2",
    [ring, "software"],
  );
  // Each set a chunk aside for itself.
  expect(Number(uses!.reserved)).toBe(2 * 1024);
});

test("a role that is taken back and a key that is suspended stop working at both within a second", async () => {
  const name = await freshKey();
  const client = await house.enrol(unique("dismissed"), "user", name);
  const theirs = both(client, client).map(
    ({ cryptography }) =>
      () =>
        cryptography.encrypt({ name, plaintext }),
  );
  await Promise.all(theirs.map((call) => call()));
  await access.revokeRole({ role: "user", identity: client.uri, resource: name });
  expect(await allRefuse(theirs, "denied", 5000)).toBeLessThan(1000);
  const ours = both(house, house.claviger).map(
    ({ cryptography }) =>
      () =>
        cryptography.encrypt({ name, plaintext }),
  );
  await Promise.all(ours.map((call) => call()));
  await keys.changeKeyState({ name, state: "suspended" });
  expect(await allRefuse(ours, "failed-precondition", 5000)).toBeLessThan(1000);
});

test("with the bus stopped, a suspended key stops working at both within the lease", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const calls = both(house, house.claviger).map(
    ({ cryptography }) =>
      () =>
        cryptography.encrypt({ name, plaintext }),
  );
  await whileStopped(house, "nats", async () => {
    await Promise.all(calls.map((call) => insist(call)));
    await keys.changeKeyState({ name, state: "suspended" });
    const taken = await allRefuse(calls, "failed-precondition", 2 * leaseMilliseconds);
    expect(taken).toBeLessThan(leaseMilliseconds + graceMilliseconds);
  });
});

test("a keyring gets its next key under both, and neither refuses a call for it", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const calls = both(house, house.claviger).map(({ cryptography }) => cryptography);
  let running = true;
  let done = 0;
  const load = calls.map(async (cryptography) => {
    while (running) {
      const { ciphertext } = await cryptography.encrypt({ name, plaintext });
      expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
      done += 1;
    }
  });
  const keyring = name.split("/")[0]!;
  await keyrings.rotateKeyring({ name: keyring });
  await until(async () => {
    const { keyring: now } = await keys.getKeyring({ name: keyring });
    return now?.generations.some(({ destroyedAt }) => destroyedAt !== undefined);
  }, 30_000);
  // Both hold what they loaded for their lease, and then load what was moved.
  await new Promise((resolve) => setTimeout(resolve, leaseMilliseconds + graceMilliseconds));
  running = false;
  await Promise.all(load);
  expect(done).toBeGreaterThan(100);
});

test("one is killed while it works: what it had answered is recorded once it runs again, and the other goes on", {
  timeout: 60_000,
}, async () => {
  const name = await freshKey();
  const [one, other] = both(house, house.claviger) as [Claviger, Claviger];
  const answered = 20;
  for (let count = 0; count < answered; count += 1) await other.cryptography.encrypt({ name, plaintext });
  await second.kill();
  await one.cryptography.encrypt({ name, plaintext });
  second.startAgain();
  await second.untilItServes(house.claviger);
  await insist(() => other.cryptography.encrypt({ name, plaintext }));
  await until(async () => {
    const { records } = await one.audit.searchRecords({ resource: name, method: "Encrypt", pageSize: 100 });
    return records.filter(({ leaf }) => leaf.includes('"outcome":"allowed"')).length >= answered + 2;
  }, 40_000);
});
