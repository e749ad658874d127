import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Claviger } from "@claviger/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { combineShares } from "../../services/generator/src/ceremony/shares.ts";
import { unwrapWithPadding } from "../harness/key-unwrap.ts";
import { OwnInstallation } from "../harness/own-installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const kills = Number(process.env.CLAVIGER_TEST_KILLS ?? 4);
const rings = Array.from({ length: 12 }, (_, at) => `ring-${at}`);
const plaintext = Buffer.from("outlives its custodians");

let house: OwnInstallation;
let claviger: Claviger;
const ciphertexts = new Map<string, Uint8Array>();
let first: string;
let oldBackup: string;

const firstShare = (number: number): string => join(house.workDirectory, `first-${number}.txt`);
const change = (...line: string[]) => house.cli("--json", "backup", "custodians", "change", ...line);
const ceremony = () =>
  JSON.parse(readFileSync(join(house.stateDirectory, "generator", "ceremony.json"), "utf8"));

beforeAll(async () => {
  house = await OwnInstallation.create();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  claviger = house.connect();
  for (const ring of rings) {
    await claviger.keyrings.createKeyring({ name: ring });
    await claviger.keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm" });
    ciphertexts.set(ring, (await claviger.cryptography.encrypt({ name: `${ring}/k`, plaintext })).ciphertext);
  }
  await claviger.keyrings.rotateKeyring({ name: rings[0]! });
  const recovery = join(house.stateDirectory, "recovery");
  for (const number of [1, 2, 3]) copyFileSync(join(recovery, `share-${number}.txt`), firstShare(number));
  first = ceremony().recoveryKey;
  oldBackup = join(house.workDirectory, "old.backup");
  expect(await house.cli("backup", "create", "--out", oldBackup)).toMatchObject({ code: 0 });
}, 240_000);
afterAll(async () => {
  claviger?.[Symbol.dispose]();
  await house?.[Symbol.asyncDispose]();
});

test("a custodian says that a share is in their hands; nobody else can", async () => {
  const said = await house.cli("--json", "backup", "custodians", "acknowledge", "--share", firstShare(2));
  expect(said).toMatchObject({ code: 0 });
  expect(said.json()).toEqual({ recoveryKey: first, share: 2 });
  const { json } = await house.cli("--json", "backup", "custodians", "list");
  expect(json()).toMatchObject({ recoveryKey: first, threshold: 2, changing: false });
  const holders = json().shares.map(({ holders }: { holders: { identity: string }[] }) =>
    holders.map(({ identity }) => identity.split("/").at(-1)),
  );
  expect(holders).toEqual([[], ["administrator"], []]);
  const forged = join(house.workDirectory, "forged.txt");
  writeFileSync(forged, readFileSync(firstShare(3), "utf8").replace("share: 3", "share: 1"));
  const refused = await house.cli("backup", "custodians", "acknowledge", "--share", forged);
  expect(refused).toMatchObject({ code: 5, stderr: expect.stringContaining("no share of recovery key") });
});

test("without a quorum of the shares in use nothing changes", async () => {
  const before = readFileSync(join(house.stateDirectory, "generator", "ceremony.json"));
  for (const [exit, line, what] of [
    [5, ["--share", firstShare(1)], "2 different shares are needed"],
    [5, ["--share", firstShare(1), firstShare(1)], "2 different shares are needed"],
    [5, ["--share", firstShare(1), firstShare(2), "--threshold", "4"], "2 ≤ threshold ≤ shares"],
    [2, ["--share", firstShare(1), firstShare(2), "--shares", "99"], "a number from 2 to 16"],
  ] as const) {
    const { code, stderr } = await change(...line);
    expect({ code, stderr }).toEqual({ code: exit, stderr: expect.stringContaining(what) });
  }
  expect(readFileSync(join(house.stateDirectory, "generator", "ceremony.json"))).toEqual(before);
  await claviger.keyrings.createKeyring({ name: "still-first" });
  rings.push("still-first");
});

test("killed anywhere, the change is run again and ends, while keyrings are made", async () => {
  const making = new AbortController();
  const maker = (async () => {
    for (let at = 0; !making.signal.aborted; at += 1) {
      try {
        await claviger.keyrings.createKeyring({ name: `meanwhile-${at}` });
        rings.push(`meanwhile-${at}`);
      } catch (error) {
        // While one key takes the other's place, nothing is wrapped for either.
        expect(["aborted", "unavailable"]).toContain((error as { kind?: string }).kind);
      }
      await sleep(50);
    }
  })();
  const line = ["--share", firstShare(1), firstShare(3), "--threshold", "3", "--shares", "5"];
  for (let kill = 0; kill < kills; kill += 1) {
    const child = house.spawnCli("backup", "custodians", "change", ...line);
    const ended = once(child, "exit");
    await Promise.race([ended, sleep(600 + (kill * 1400) / Math.max(1, kills - 1))]);
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It was through before.
    }
    await ended;
    if (ceremony().recoveryKey !== first) break;
  }
  if (ceremony().recoveryKey === first) {
    const { code, stderr } = await change(...line);
    expect(code, stderr).toBe(0);
  }
  making.abort();
  await maker;
  await claviger.keyrings.createKeyring({ name: "afterwards" });
  rings.push("afterwards");
  expect(ceremony()).toMatchObject({ custody: { threshold: 3, shares: 5 } });
  expect(existsSync(join(house.stateDirectory, "generator", "ceremony.next.json"))).toBe(false);
}, 240_000);

function nextShares(): string[] {
  const { recoveryKey } = ceremony();
  const directory = join(house.stateDirectory, "recovery", recoveryKey);
  return readdirSync(directory)
    .sort()
    .map((name) => join(directory, name));
}

test("the old shares open nothing of the database any more; three of the new ones open all that is in use", async () => {
  const files = nextShares();
  expect(files).toHaveLength(5);
  using key = await combineShares(
    [files[0]!, files[2]!, files[4]!].map((path) => readFileSync(path, "utf8")),
  );
  const { recoveryWraps } = ceremony();
  expect(Object.keys(recoveryWraps).sort()).toEqual([
    "binding-mac",
    "seal-distribution",
    "seal-rotation",
    "seal-storage",
  ]);
  const sealKey = unwrapWithPadding(key.expose(), Buffer.from(recoveryWraps["seal-storage"], "base64"));
  expect(sealKey).toEqual(readFileSync(join(house.stateDirectory, "storage", "seal.key")));
  const old = await change("--share", firstShare(1), firstShare(2));
  expect(old).toMatchObject({ code: 5, stderr: expect.stringContaining(`shares of recovery key ${first}`) });
  const { json } = await house.cli("--json", "backup", "custodians", "list");
  expect(json()).toMatchObject({ recoveryKey: ceremony().recoveryKey, threshold: 3, changing: false });
  expect(await house.cli("backup", "custodians", "acknowledge", "--share", firstShare(2))).toMatchObject({
    code: 5,
  });
  const { findings } = (await house.cli("--json", "doctor")).json();
  expect(findings ?? []).toEqual([]);
});

test("a change from one recovery key to the next and back to as many shares is but another change", async () => {
  const shares = nextShares().slice(0, 3);
  const { recoveryKey } = ceremony();
  const changed = await change(...shares.flatMap((path) => ["--share", path]));
  expect(changed.code, changed.stderr).toBe(0);
  expect(changed.json()).toMatchObject({ insteadOf: recoveryKey, threshold: 3, shares: 5 });
  expect(ceremony().custodyChanges).toHaveLength(2);
}, 60_000);

test("after everything is lost, the new shares restore a new backup, and the old ones do not", async () => {
  const kept = join(house.workDirectory, "next");
  mkdirSync(kept);
  const shares = nextShares().map((path, at) => {
    copyFileSync(path, join(kept, `${at}.txt`));
    return join(kept, `${at}.txt`);
  });
  const file = join(house.workDirectory, "new.backup");
  const made = await house.cli("backup", "create", "--out", file);
  expect(made.code, made.stderr).toBe(0);
  claviger[Symbol.dispose]();
  await house.destroy();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  const given = (paths: string[]) => paths.flatMap((path) => ["--share", path]);
  const old = await house.cli("backup", "restore", "--in", file, ...given([firstShare(1), firstShare(2)]));
  expect(old).toMatchObject({ code: 5, stderr: expect.stringContaining("the backup is under") });
  const restored = await house.cli("backup", "restore", "--in", file, ...given(shares.slice(1, 4)));
  expect(restored.code, restored.stderr).toBe(0);
  claviger = house.connect();
  for (const [ring, ciphertext] of ciphertexts) {
    await claviger.keys.changeKeyState({ name: `${ring}/k`, state: "active" });
    const { plaintext: opened } = await claviger.cryptography.decrypt({ name: `${ring}/k`, ciphertext });
    expect(Buffer.from(opened)).toEqual(plaintext);
  }
  await claviger.keyrings.createKeyring({ name: "in-the-new-house" });
  const refusal = await refusalOf(
    claviger.backup.attestBackup({
      backupId: "00000000-0000-4000-8000-000000000000",
      manifestDigest: Buffer.alloc(32),
      recoveryKey: first,
    }),
  );
  expect(refusal.kind).toBe("failed-precondition");
}, 240_000);
