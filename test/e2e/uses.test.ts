import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { rowSealerFromFile } from "../../packages/row-seal/src/index.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const ring = unique("uses");
const plaintext = Buffer.from("x");
const bound = 2 ** 32;

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
});

async function newKey(algorithm = "aes-256-gcm", protection = "software"): Promise<string> {
  const name = `${ring}/${unique("k")}`;
  await keyGeneration.createKey({ name, algorithm, protection });
  return name;
}

async function usesOf(name: string, version = 1): Promise<{ reserved: number; max: number }> {
  const { versions } = await keys.listKeyVersions({ name });
  const found = versions.find((candidate) => candidate.version === version);
  return { reserved: Number(found!.usesReserved), max: Number(found!.usesMax) };
}

/** As if so many had been set aside: only whoever has storage's seal key can write that. */
async function pretendReserved(name: string, reserved: number): Promise<void> {
  const { key } = await keys.getKey({ name });
  const sealer = rowSealerFromFile(join(house.stateDirectory, "storage", "seal.key"));
  const row = { keyId: key!.id, version: 1, reserved, usesMax: bound };
  await house.superuser(
    "update storage.key_uses set reserved = $2, seal = $3 where key_id = $1 and version = 1",
    [row.keyId, reserved, sealer.seal("key_uses", row)],
  );
}

test("encryptions are counted ahead, for each version, one by one and in batches", async () => {
  const name = await newKey();
  expect(await usesOf(name)).toEqual({ reserved: 0, max: bound });
  await cryptography.encrypt({ name, plaintext });
  const first = await usesOf(name);
  expect(first.reserved).toBeGreaterThanOrEqual(1);
  const items = Array.from({ length: 1000 }, () => ({ plaintext }));
  for (let count = 0; count < 5; count += 1) await cryptography.encryptBatch({ name, items });
  expect((await usesOf(name)).reserved).toBeGreaterThanOrEqual(5001);
  const { ciphertext } = await cryptography.encrypt({ name, plaintext });
  await keyGeneration.createKeyVersion({ name });
  await cryptography.reencrypt({ name, ciphertext });
  expect((await usesOf(name, 2)).reserved).toBeGreaterThanOrEqual(1);
});

test("an algorithm without such a bound has no count", async () => {
  expect(await usesOf(await newKey("ecdsa-p256"))).toEqual({ reserved: 0, max: 0 });
});

test("at three quarters of the bound the key is rotated, though it has no period", async () => {
  const name = await newKey();
  await pretendReserved(name, bound * 0.75 - 1);
  await cryptography.encrypt({ name, plaintext });
  await until(async () => (await keys.getKey({ name })).key!.currentVersion === 2, 15_000);
  await until(async () => (await cryptography.encrypt({ name, plaintext })).version === 2, 5000);
});

test.each(["software", "hsm"])(
  "at the bound encryption is refused, with %s protection, and decryption is not",
  async (protection) => {
    const name = await newKey("aes-256-gcm", protection);
    // One below the share, so that nobody rotates it; the process then takes what is left.
    const { ciphertext } = await cryptography.encrypt({ name, plaintext });
    await pretendReserved(name, bound);
    const items = Array.from({ length: 1000 }, () => ({ plaintext }));
    let refusal: { kind: string; message: string } | undefined;
    for (let count = 0; count < 4 && refusal === undefined; count += 1) {
      refusal = await cryptography.encryptBatch({ name, items }).then(
        () => undefined,
        (error: { kind: string; message: string }) => error,
      );
    }
    expect(refusal?.kind).toBe("failed-precondition");
    expect(refusal?.message).toContain("as often as its algorithm may");
    expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
  },
);

test("a count that was set back in the database, or deleted, is noticed, and nothing is encrypted", async () => {
  for (const sql of [
    "update storage.key_uses set reserved = 0 where key_id = $1",
    "delete from storage.key_uses where key_id = $1",
  ]) {
    const name = await newKey();
    const items = Array.from({ length: 1000 }, () => ({ plaintext }));
    await cryptography.encryptBatch({ name, items });
    const { key } = await keys.getKey({ name });
    await house.superuser(sql, [key!.id]);
    let refusal: { kind: string } | undefined;
    for (let count = 0; count < 8 && refusal === undefined; count += 1) {
      refusal = await cryptography.encryptBatch({ name, items }).then(
        () => undefined,
        (error: { kind: string }) => error,
      );
    }
    expect(refusal?.kind).toBe("integrity");
  }
});

test("a generator that was killed counts on from what it had set aside", async () => {
  const name = await newKey();
  await cryptography.encrypt({ name, plaintext });
  const before = (await usesOf(name)).reserved;
  process.kill(house.pidOf("generator"), "SIGKILL");
  await until(async () => {
    try {
      return (await cryptography.encrypt({ name, plaintext })).version === 1;
    } catch {
      return false;
    }
  }, 20_000);
  expect((await usesOf(name)).reserved).toBeGreaterThan(before);
  expect((await refusalOf(cryptography.encrypt({ name: `${ring}/none`, plaintext }))).kind).toBe("not-found");
});
