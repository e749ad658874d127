import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Claviger,
  createClaviger,
  enrollWithToken,
  readConfigFile,
  writeIdentity,
} from "@claviger/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OwnInstallation } from "../harness/own-installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const plaintext = Buffer.from("kept through the fire");
const ring = "payments";
const encrypting = {
  "aes-software": { algorithm: "aes-256-gcm", protection: "software" },
  "aes-hsm": { algorithm: "aes-256-gcm", protection: "hsm" },
  "rsa-oaep": { algorithm: "rsa-oaep-3072", protection: "software" },
} as const;
const signing = {
  "ec-hsm": { algorithm: "ecdsa-p256", protection: "hsm" },
  ed25519: { algorithm: "ed25519", protection: "software" },
  "ml-dsa": { algorithm: "ml-dsa-65", protection: "software" },
} as const;

let house: OwnInstallation;
let file: string;
const ciphertexts = new Map<string, Uint8Array>();
const signatures = new Map<string, Uint8Array>();
let workloadConfig: string;

const share = (number: number): string => join(house.workDirectory, `share-${number}.txt`);
const restore = (...shares: string[]) =>
  house.cli("backup", "restore", "--in", file, ...shares.flatMap((path) => ["--share", path]));

beforeAll(async () => {
  house = await OwnInstallation.create();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  file = join(house.workDirectory, "claviger.backup");
  using claviger = house.connect();
  await fill(claviger);
  for (const name of readdirSync(join(house.stateDirectory, "recovery"))) {
    copyFileSync(join(house.stateDirectory, "recovery", name), join(house.workDirectory, name));
  }
}, 240_000);
afterAll(() => house?.[Symbol.asyncDispose]());

async function fill({
  access,
  addresses,
  cryptography,
  identities,
  keyGeneration,
  keyrings,
  keys,
}: Claviger) {
  await keyrings.createKeyring({ name: ring });
  for (const [name, how] of Object.entries(encrypting)) {
    await keyGeneration.createKey({ name: `${ring}/${name}`, ...how });
    const { ciphertext } = await cryptography.encrypt({ name: `${ring}/${name}`, plaintext });
    ciphertexts.set(name, ciphertext);
  }
  for (const [name, how] of Object.entries(signing)) {
    await keyGeneration.createKey({ name: `${ring}/${name}`, ...how });
    const { signature } = await cryptography.sign({ name: `${ring}/${name}`, message: plaintext });
    signatures.set(name, signature);
  }
  // An older version, under an older generation of the keyring's key at first.
  await keyGeneration.createKeyVersion({ name: `${ring}/aes-software` });
  await keyrings.rotateKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/doomed`, algorithm: "aes-256-gcm" });
  await keys.destroyKey({ name: `${ring}/doomed` });
  const { token } = await identities.createEnrollmentToken({ name: "orders" });
  const joined = await enrollWithToken(token);
  const directory = join(house.workDirectory, "orders");
  mkdirSync(directory);
  writeIdentity(directory, { ...joined, addresses });
  workloadConfig = join(directory, "claviger.json");
  await access.grantRole({ role: "user", identity: joined.identity, resource: ring });
}

test("a backup is one file that tells nobody what is in it, and never takes another's place", async () => {
  const { code, stderr, json } = await house.cli("--json", "backup", "create", "--out", file);
  expect(code, stderr).toBe(0);
  const made = json();
  expect(made.sections.map((section: { name: string }) => section.name)).toContain("storage.key_versions");
  const bytes = readFileSync(file);
  expect(bytes.length).toBe(made.bytes);
  for (const told of [ring, "orders", "aes-software", "COPY"]) expect(bytes.includes(told)).toBe(false);
  expect(readFileSync(`${file}.manifest.json`, "utf8")).toContain("manifest");
  expect(await house.cli("backup", "create", "--out", file)).toMatchObject({ code: 5 });
  expect(readFileSync(file)).toEqual(bytes);
});

test("who may not make backups gets none", async () => {
  using workload = clientOf(workloadConfig);
  const recipientPublicKey = Buffer.alloc(32, 9);
  expect((await refusalOf(workload.backup.beginBackup({ recipientPublicKey }))).kind).toBe("denied");
  const manifestDigest = Buffer.alloc(32);
  const backupId = "00000000-0000-4000-8000-000000000000";
  expect((await refusalOf(workload.backup.attestBackup({ backupId, manifestDigest }))).kind).toBe("denied");
  using administrator = house.connect();
  const wrong = administrator.backup.attestBackup({ backupId: "x", manifestDigest });
  expect((await refusalOf(wrong)).kind).toBe("invalid-argument");
});

test("a restore that is refused has changed nothing, and stopped nothing", async () => {
  const supervisor = () => readFileSync(join(house.stateDirectory, "run", "supervisor.json"), "utf8");
  const before = supervisor();
  const whole = readFileSync(file);
  const refusedFor = async (what: string, ...shares: string[]): Promise<void> => {
    const { code, stderr } = await restore(...shares);
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining(what) });
  };
  await refusedFor("2 different shares are needed", share(1));
  await refusedFor("2 different shares are needed", share(1), share(1));
  const damaged = join(house.workDirectory, "damaged.txt");
  writeFileSync(damaged, readFileSync(share(1), "utf8").replace("value: ", "value: A"));
  await refusedFor("is damaged", damaged, share(2));
  for (const at of [0, 30, 400, Math.floor(whole.length / 2), whole.length - 1]) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 1;
    writeFileSync(file, changed);
    const { code } = await restore(share(1), share(2));
    expect(code, `byte ${at}`).toBe(5);
  }
  writeFileSync(file, whole.subarray(0, -100));
  await refusedFor("damaged", share(1), share(2));
  writeFileSync(file, whole);
  // It has keys of its own, and nobody said that they may go.
  await refusedFor("keys of its own", share(1), share(2));
  expect(supervisor()).toBe(before);
  expect(readdirSync(join(house.stateDirectory, "generator"))).not.toContain("restore");
});

test("everything was lost: with the file and two shares it is all there again, in another HSM", {
  timeout: 240_000,
}, async () => {
  await house.destroy();
  expect((await house.start()).code).toBe(0);
  await takeTour();
  const { code, stderr } = await restore(share(3), share(1));
  expect(code, stderr).toBe(0);
  // The shares of the recovery key that this installation began with open nothing any more.
  expect(readdirSync(join(house.stateDirectory, "recovery"))).toEqual([]);
  using claviger = house.connect();
  await requireEverything(claviger);
});

/** What the tour of a first start leaves behind. */
async function takeTour(): Promise<void> {
  using claviger = house.connect();
  await claviger.keyrings.createKeyring({ name: "tour" });
  await claviger.keyGeneration.createKey({ name: "tour/first", algorithm: "aes-256-gcm" });
}

async function requireEverything(claviger: Claviger): Promise<void> {
  const { cryptography, keyGeneration, keys } = claviger;
  // A workload's certificate is of the CA that is there again, and it may what it could.
  using workload = clientOf(workloadConfig);
  for (const [name, ciphertext] of ciphertexts) {
    const refusal = await refusalOf(workload.cryptography.decrypt({ name: `${ring}/${name}`, ciphertext }));
    expect(refusal.message, "before it is enabled").toContain("suspended");
    await keys.changeKeyState({ name: `${ring}/${name}`, state: "active" });
    const answer = await workload.cryptography.decrypt({ name: `${ring}/${name}`, ciphertext });
    expect(Buffer.from(answer.plaintext)).toEqual(plaintext);
  }
  for (const [name, signature] of signatures) {
    await keys.changeKeyState({ name: `${ring}/${name}`, state: "active" });
    const request = { name: `${ring}/${name}`, message: plaintext };
    expect((await cryptography.verify({ ...request, signature })).valid).toBe(true);
    const again = await cryptography.sign(request);
    expect((await cryptography.verify({ ...request, signature: again.signature })).valid).toBe(true);
  }
  // How often a version encrypted since the backup is not known: the next one encrypts.
  const { key } = await keys.getKey({ name: `${ring}/aes-hsm` });
  if (key!.currentVersion === 1) await keyGeneration.createKeyVersion({ name: `${ring}/aes-hsm` });
  expect((await cryptography.encrypt({ name: `${ring}/aes-hsm`, plaintext })).version).toBeGreaterThan(1);
  expect((await keys.getKey({ name: `${ring}/doomed` })).key!.destroyAt).toBeDefined();
  expect(await house.cli("audit", "verify")).toMatchObject({ code: 0 });
  const search = await house.cli(
    "--json",
    "audit",
    "search",
    "--who",
    "spiffe://claviger.test/claviger/storage",
    "--limit",
    "1000",
  );
  expect(search.stdout).toContain("SuspendRestored");
  expect((await house.cli("ceremony")).stdout).toContain("2 of 3 shares");
  expect((await house.cli("status")).code).toBe(0);
}

test("a restore that is cut off leaves nothing that starts, and is done again from its beginning", {
  timeout: 300_000,
}, async () => {
  for (const moment of ["filling the HSM's token", "storage.keys: ", "the administrator enrols again"]) {
    const child = house.spawnCli(
      "backup",
      "restore",
      "--replace",
      "--in",
      file,
      "--share",
      share(1),
      "--share",
      share(2),
    );
    await new Promise<void>((resolve, reject) => {
      let said = "";
      child.stderr!.on("data", (piece: Buffer) => {
        said += piece;
        if (said.includes(moment)) resolve();
      });
      child.once("exit", () => reject(new Error(`it ended before "${moment}": ${said}`)));
    });
    process.kill(-child.pid!, "SIGKILL");
    const { code, said } = await house.start();
    expect({ code, said }).toEqual({ code: 5, said: expect.stringContaining("begun here and not ended") });
  }
  const { code, stderr } = await restore(share(2), share(3));
  expect(code, stderr).toBe(0);
  expect((await house.start()).code).toBe(0);
  using claviger = house.connect();
  await requireEverything(claviger);
});

function clientOf(configPath: string): Claviger {
  const { addresses, identityDirectory, trustDomain } = readConfigFile(configPath);
  return createClaviger({ trustDomain, addresses, identityDirectory });
}
