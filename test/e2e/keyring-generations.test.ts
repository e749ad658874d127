import { join } from "node:path";
import { expect, test } from "vitest";
import { rowSealerFromFile } from "../../packages/row-seal/src/index.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const plaintext = Buffer.from("under which key?");

async function newKeyring(): Promise<string> {
  const ring = unique("generations");
  await keyrings.createKeyring({ name: ring });
  return ring;
}

async function generationsOf(ring: string) {
  return (await keys.getKeyring({ name: ring })).keyring!.generations;
}

/** Until nothing but the newest generation of the keyring's key is left in the HSM. */
async function untilAlone(ring: string): Promise<void> {
  await until(async () => {
    const generations = await generationsOf(ring);
    return generations.slice(0, -1).every(({ destroyedAt }) => destroyedAt !== undefined);
  }, 20_000);
}

interface VersionRow {
  key_id: string;
  version: number;
  material: Buffer;
}

function versionsOf(ring: string): Promise<VersionRow[]> {
  return house.superuser<VersionRow>(
    `select v.key_id, v.version, v.material from storage.key_versions v
     join storage.keys k on k.id = v.key_id where k.keyring = $1 and v.material is not null order by k.name, v.version`,
    [ring],
  );
}

/** Old material in rows that are the newest otherwise, under storage's own seal: its ledger finds nothing wrong. */
async function putBack(rows: readonly VersionRow[]): Promise<void> {
  const sealer = rowSealerFromFile(join(house.stateDirectory, "storage", "seal.key"));
  for (const { key_id: keyId, material, version } of rows) {
    const [now] = await house.superuser<{ state: string; createdAt: Date; revision: number }>(
      `select state, created_at as "createdAt", revision from storage.key_versions where key_id = $1 and version = $2`,
      [keyId, version],
    );
    await house.superuser(
      "update storage.key_versions set material = $3, seal = $4 where key_id = $1 and version = $2",
      [keyId, version, material, sealer.seal("key_versions", { keyId, version, material, ...now! })],
    );
  }
}

function generationIn(material: Buffer): number {
  return material.readUInt32BE(3);
}

test("a keyring gets a new key: everything is moved under it, whatever its algorithm, protection and state", async () => {
  const ring = await newKeyring();
  const made = [
    ["aes-256-gcm", "hsm"],
    ["aes-256-gcm", "software"],
    ["ecdsa-p256", "hsm"],
    ["ecdsa-p384", "software"],
    ["rsa-pss-3072", "hsm"],
    ["hmac-sha256", "hsm"],
    ["ml-dsa-65", "software"],
    ["ed25519", "software"],
  ] as const;
  const ciphertexts = new Map<string, Uint8Array>();
  const publicKeys = new Map<string, Uint8Array>();
  for (const [at, [algorithm, protection]] of made.entries()) {
    const name = `${ring}/k${at}`;
    await keyGeneration.createKey({ name, algorithm, protection });
    if (algorithm === "aes-256-gcm") {
      ciphertexts.set(name, (await cryptography.encrypt({ name, plaintext })).ciphertext);
    } else if (algorithm !== "hmac-sha256") {
      publicKeys.set(name, (await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo);
    }
    await keyGeneration.createKeyVersion({ name });
  }
  await keys.destroyKey({ name: `${ring}/k0` });

  const { keyring } = await keyrings.rotateKeyring({ name: ring });
  expect(keyring!.generations.map(({ generation }) => generation)).toEqual([1, 2]);
  await untilAlone(ring);

  const rows = await versionsOf(ring);
  expect(rows).toHaveLength(2 * made.length);
  expect(rows.map(({ material }) => generationIn(material))).toEqual(rows.map(() => 2));
  await keys.restoreKey({ name: `${ring}/k0` });
  for (const [name, ciphertext] of ciphertexts) {
    const opened = await cryptography.decrypt({ name, ciphertext });
    expect(Buffer.from(opened.plaintext)).toEqual(plaintext);
  }
  for (const [name, before] of publicKeys) {
    const { subjectPublicKeyInfo } = await keyGeneration.getPublicKey({ name, version: 1 });
    expect(Buffer.from(subjectPublicKeyInfo)).toEqual(Buffer.from(before));
    const { signature, version } = await cryptography.sign({ name, message: plaintext });
    expect(version).toBe(2);
    expect((await cryptography.verify({ name, message: plaintext, signature })).valid).toBe(true);
  }
  const { tag } = await cryptography.mac({ name: `${ring}/k5`, message: plaintext });
  expect((await cryptography.verifyMac({ name: `${ring}/k5`, message: plaintext, tag })).valid).toBe(true);
  await keyGeneration.createKey({ name: `${ring}/new`, algorithm: "aes-256-gcm" });
  const [newest] = (await versionsOf(ring)).slice(-1);
  expect(generationIn(newest!.material)).toBe(2);
});

test("an old copy of the database opens nothing once the generation that it was under is destroyed", async () => {
  const ring = await newKeyring();
  const name = `${ring}/k`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  const { ciphertext } = await cryptography.encrypt({ name, plaintext });
  const old = await versionsOf(ring);
  await keyrings.rotateKeyring({ name: ring });
  await untilAlone(ring);
  const current = await versionsOf(ring);
  await putBack(old);
  try {
    // Nothing says that the key changed: the lease of what is loaded has to end first.
    await until(async () => {
      const opened = await cryptography.decrypt({ name, ciphertext }).catch(() => undefined);
      return opened === undefined;
    }, 20_000);
    expect(await refusalOf(cryptography.decrypt({ name, ciphertext }))).toMatchObject({
      kind: "unavailable",
    });
  } finally {
    await putBack(current);
  }
  await until(
    async () => (await cryptography.decrypt({ name, ciphertext }).catch(() => undefined)) !== undefined,
    20_000,
  );
});

test("a generation stays as long as a single version that was tampered with is under it", async () => {
  const ring = await newKeyring();
  const name = `${ring}/k`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  await keyGeneration.createKey({ name: `${ring}/other`, algorithm: "aes-256-gcm" });
  const { ciphertext } = await cryptography.encrypt({ name, plaintext });
  const [genuine] = await versionsOf(ring);
  const changed = Buffer.from(genuine!.material);
  changed[20] = changed[20]! ^ 1;
  await putBack([{ ...genuine!, material: changed }]);
  await keyrings.rotateKeyring({ name: ring });
  // The row's own seal does not fit: it stays, the other key moves all the same, and nothing is destroyed.
  const generationOf = ({ material }: { material: Buffer }): number => material.readUInt32BE(3);
  await until(async () => (await versionsOf(ring)).map(generationOf).sort().join(" ") === "1 2", 10_000);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect((await generationsOf(ring))[0]).toMatchObject({ generation: 1 });
  expect((await generationsOf(ring))[0]!.endedAt).toBeUndefined();
  await putBack([genuine!]);
  await untilAlone(ring);
  const opened = await cryptography.decrypt({ name, ciphertext });
  expect(Buffer.from(opened.plaintext)).toEqual(plaintext);
});

test("callers who make and use keys while their keyring's key changes again and again notice nothing", {
  timeout: 90_000,
}, async () => {
  const ring = await newKeyring();
  const name = `${ring}/k`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm", protection: "hsm" });
  let rotating = true;
  let made = 0;
  const ciphertexts: Uint8Array[] = [];
  const use = async (): Promise<void> => {
    while (rotating) {
      ciphertexts.push((await cryptography.encrypt({ name, plaintext })).ciphertext);
      await cryptography.decrypt({ name, ciphertext: ciphertexts[0]! });
    }
  };
  const make = async (): Promise<void> => {
    while (rotating) {
      made += 1;
      await keyGeneration.createKey({
        name: `${ring}/made-${made}`,
        algorithm: "ecdsa-p256",
        protection: "hsm",
      });
      await keyGeneration.createKeyVersion({ name });
    }
  };
  const working = Promise.all([use(), use(), make()]);
  for (let generation = 2; generation <= 5; generation += 1) {
    await keyrings.rotateKeyring({ name: ring });
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
  await untilAlone(ring);
  rotating = false;
  await working;
  expect(made).toBeGreaterThan(2);
  for (const ciphertext of [ciphertexts[0]!, ciphertexts.at(-1)!]) {
    const opened = await cryptography.decrypt({ name, ciphertext });
    expect(Buffer.from(opened.plaintext)).toEqual(plaintext);
  }
});

test("a user cannot give a keyring a new key, and a repeated request does it once", async () => {
  const ring = await newKeyring();
  const user = await house.enrol(unique("user"), "user", ring);
  expect(await refusalOf(user.keyrings.rotateKeyring({ name: ring }))).toMatchObject({ kind: "denied" });
  const requestId = crypto.randomUUID();
  await keyrings.rotateKeyring({ name: ring, requestId });
  await keyrings.rotateKeyring({ name: ring, requestId });
  expect(await generationsOf(ring)).toHaveLength(2);
  expect(await refusalOf(keyrings.rotateKeyring({ name: unique("none") }))).toMatchObject({
    kind: "not-found",
  });
});

test("the keyring of Claviger's own keys gets a new key too, and CA and checkpoints go on signing", async () => {
  const before = (await generationsOf("system")).length;
  await keyrings.rotateKeyring({ name: "system" });
  await untilAlone("system");
  const rows = await versionsOf("system");
  expect(rows.length).toBeGreaterThanOrEqual(4);
  expect(rows.map(({ material }) => generationIn(material))).toEqual(rows.map(() => before + 1));
  const fresh = await house.enrol(unique("fresh"), "user", "*");
  await fresh.cryptography.generateRandom({ sizeBytes: 8 });
  const name = `${await newKeyring()}/k`;
  await keyGeneration.createKey({ name, algorithm: "ecdsa-p256" });
  expect((await keyGeneration.attestKey({ name })).signature.length).toBeGreaterThan(0);
});

test("keyrings rotate waits until the old key is destroyed, and keyrings show says when", async () => {
  const ring = await newKeyring();
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm" });
  const rotated = await house.cli(["keyrings", "rotate", ring]);
  expect(rotated).toMatchObject({ code: 0 });
  expect(rotated.stdout.toString()).toContain("generation 2");
  const shown = await house.cli(["keyrings", "show", ring]);
  expect(shown.stdout.toString()).toMatch(/1 +\S.* destroyed /);
  expect(shown.stdout.toString()).toMatch(/2 +\S.* current/);
});
