import { createPublicKey, verify } from "node:crypto";
import { describe, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;

async function newKey(algorithm: string, protection: string): Promise<string> {
  const ring = unique("ring");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm, protection });
  return `${ring}/k`;
}

describe.each(["software", "hsm"])("a key with %s protection", (protection) => {
  test("encrypts and decrypts: nothing, a line, a megabyte, with and without associated data", async () => {
    const name = await newKey("aes-256-gcm", protection);
    const cases = [Buffer.alloc(0), Buffer.from("a line"), Buffer.alloc(1024 * 1024, 7)];
    for (const plaintext of cases) {
      for (const associatedData of [Buffer.alloc(0), Buffer.from("customer 17")]) {
        const { ciphertext } = await cryptography.encrypt({ name, plaintext, associatedData });
        const opened = await cryptography.decrypt({ name, ciphertext, associatedData });
        expect(Buffer.from(opened.plaintext).equals(plaintext)).toBe(true);
      }
    }
  });

  test("lives through rotation, suspension, destruction and restoration", async () => {
    const name = await newKey("aes-256-gcm", protection);
    const plaintext = Buffer.from("kept");
    const { ciphertext } = await cryptography.encrypt({ name, plaintext });
    await keyGeneration.createKeyVersion({ name });
    const { versions } = await keys.listKeyVersions({ name });
    expect(versions.map(({ state, version }) => [version, state])).toEqual([
      [1, "deactivated"],
      [2, "active"],
    ]);
    expect((await cryptography.decrypt({ name, ciphertext })).version).toBe(1);
    await until(async () => (await cryptography.encrypt({ name, plaintext })).version === 2, 5000);

    await keys.changeKeyState({ name, state: "suspended" });
    await until(
      async () =>
        (await refusalOf(cryptography.decrypt({ name, ciphertext }))).kind === "failed-precondition",
      5000,
    );
    await keys.changeKeyState({ name, state: "active" });
    expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);

    const { key } = await keys.destroyKey({ name });
    const day = new Date(Number(key!.destroyAt!.seconds) * 1000).toISOString().slice(0, 10);
    const { value: refusal } = await until(async () => {
      const { kind, message } = await refusalOf(cryptography.decrypt({ name, ciphertext }));
      return kind === "failed-precondition" && message;
    }, 5000);
    expect(refusal).toContain(day);
    await keys.restoreKey({ name });
    expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
  });

  test("signs what anybody verifies with the public key, one by one and in batches", async () => {
    const name = await newKey("ecdsa-p256", protection);
    const message = Buffer.from("a contract");
    const { signature } = await cryptography.sign({ name, message });
    const { subjectPublicKeyInfo } = await keyGeneration.getPublicKey({ name });
    const key = createPublicKey({ key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" });
    expect(verify("sha256", message, key, signature)).toBe(true);
    expect((await cryptography.verify({ name, message, signature })).valid).toBe(true);
    expect((await cryptography.verify({ name, message: Buffer.from("another"), signature })).valid).toBe(
      false,
    );
    const messages = Array.from({ length: 50 }, (_, at) => Buffer.from(`contract ${at}`));
    const { results } = await cryptography.signBatch({ name, messages });
    for (const [at, result] of results.entries())
      expect(verify("sha256", messages[at]!, key, result.signature)).toBe(true);
  });
});

test("an item of a batch fails alone", async () => {
  const name = await newKey("aes-256-gcm", "software");
  const { results } = await cryptography.encryptBatch({
    name,
    items: [{ plaintext: Buffer.from("a") }, { plaintext: Buffer.from("b") }],
  });
  const damaged = Buffer.from(results[1]!.ciphertext);
  damaged[damaged.length - 1] = damaged.at(-1)! ^ 1;
  const opened = await cryptography.decryptBatch({
    name,
    items: [{ ciphertext: results[0]!.ciphertext }, { ciphertext: damaged }],
  });
  expect(Buffer.from(opened.results[0]!.plaintext).toString()).toBe("a");
  expect(opened.results[1]!.error?.kind).toBe("integrity");
});

test("a repeated request has one effect, and another request cannot take its id", async () => {
  const ring = unique("ring");
  await keyrings.createKeyring({ name: ring });
  const request = { requestId: crypto.randomUUID(), name: `${ring}/k`, algorithm: "aes-256-gcm" };
  const answers = await Promise.all(Array.from({ length: 5 }, () => keyGeneration.createKey(request)));
  expect(new Set(answers.map(({ key }) => key!.id)).size).toBe(1);
  const other = await refusalOf(keyGeneration.createKey({ ...request, name: `${ring}/other` }));
  expect(other).toMatchObject({ kind: "invalid-argument" });
  expect((await keys.listKeys({ keyring: ring })).keys.length).toBe(1);
});

test("keyring and key names that could mean something else are refused", async () => {
  for (const name of [
    "",
    "a",
    "a/b/c",
    "../x",
    "A/b",
    "a/\u0000",
    "a/b\n",
    "a/-b",
    `a/${"x".repeat(80)}`,
    "ä/b",
  ]) {
    expect((await refusalOf(keyGeneration.createKey({ name, algorithm: "aes-256-gcm" }))).kind, name).toMatch(
      /invalid-argument|not-found/,
    );
  }
});
