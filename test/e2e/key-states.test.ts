import { execFileSync } from "node:child_process";
import { createPublicKey, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const openssl = findOpenssl();

async function newKey(algorithm: string, protection: string): Promise<string> {
  const keyring = unique("states");
  await keyrings.createKeyring({ name: keyring });
  await keyGeneration.createKey({ name: `${keyring}/k`, algorithm, protection });
  return `${keyring}/k`;
}

/** An event makes it true everywhere within a second; this says once it is. */
async function refusedWithin(call: () => Promise<unknown>, what: string): Promise<void> {
  await until(async () => {
    const { kind, message } = await refusalOf(call());
    return kind === "failed-precondition" && message.includes(what);
  }, 3_000);
}

describe.each(["software", "hsm"])("a key with %s protection", (protection) => {
  test("decrypts with its first version while that is disabled or not, apart from its second", async () => {
    const name = await newKey("aes-256-gcm", protection);
    const plaintext = Buffer.from("of version one");
    const { ciphertext } = await cryptography.encrypt({ name, plaintext });
    await keyGeneration.createKeyVersion({ name });
    await until(async () => (await cryptography.encrypt({ name, plaintext })).version === 2, 3_000);
    const second = await cryptography.encrypt({ name, plaintext });
    await keys.changeKeyState({ name, version: 2, state: "suspended" });
    await refusedWithin(() => cryptography.decrypt({ name, ciphertext: second.ciphertext }), "suspended");
    await refusedWithin(() => cryptography.encrypt({ name, plaintext }), "suspended");
    expect((await cryptography.decrypt({ name, ciphertext })).version).toBe(1);
    await keys.changeKeyState({ name, version: 2, state: "active" });
    expect((await cryptography.decrypt({ name, ciphertext: second.ciphertext })).version).toBe(2);
    const { versions } = await keys.listKeyVersions({ name });
    expect(versions.map(({ current, state, version }) => ({ current, state, version }))).toEqual([
      { current: false, state: "deactivated", version: 1 },
      { current: true, state: "active", version: 2 },
    ]);
  });

  test("protects nothing new once it is revoked, but its data can be rescued; nothing leads back", async () => {
    const name = await newKey("aes-256-gcm", protection);
    const plaintext = Buffer.from("to be rescued");
    const { ciphertext } = await cryptography.encrypt({ name, plaintext });
    await keys.changeKeyState({ name, state: "compromised", reason: "keyCompromise" });
    await refusedWithin(() => cryptography.encrypt({ name, plaintext }), "compromised");
    expect(Buffer.from((await cryptography.decrypt({ name, ciphertext })).plaintext)).toEqual(plaintext);
    for (const state of ["active", "suspended", "deactivated"]) {
      expect((await refusalOf(keys.changeKeyState({ name, state }))).kind, state).toBe("failed-precondition");
    }
    expect((await refusalOf(keyGeneration.createKeyVersion({ name }))).kind).toBe("failed-precondition");
  });

  test("verifies what it signed while it is deactivated, and nothing once it is compromised", async () => {
    const name = await newKey("ecdsa-p256", protection);
    const message = Buffer.from("a contract");
    const { signature } = await cryptography.sign({ name, message });
    await keys.changeKeyState({ name, state: "deactivated", reason: "superseded" });
    await refusedWithin(() => cryptography.sign({ name, message }), "deactivated");
    expect((await cryptography.verify({ name, message, signature })).valid).toBe(true);
    await keys.changeKeyState({ name, state: "compromised", reason: "keyCompromise" });
    await refusedWithin(() => cryptography.verify({ name, message, signature }), "compromised");
    expect((await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo.length).toBe(91);
  });

  test.skipIf(openssl === undefined)("signs what openssl verifies with the public key", async () => {
    const name = await newKey("ecdsa-p256", protection);
    const message = Buffer.from("seen by another library");
    const { signature } = await cryptography.sign({ name, message });
    const { subjectPublicKeyInfo } = await keyGeneration.getPublicKey({ name });
    const key = createPublicKey({ key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" });
    const at = (file: string): string => join(house.workDirectory, `${protection}-${file}`);
    writeFileSync(at("key.pem"), key.export({ format: "pem", type: "spki" }));
    writeFileSync(at("message"), message);
    writeFileSync(at("signature"), signature);
    const line = ["dgst", "-sha256", "-verify", at("key.pem"), "-signature", at("signature"), at("message")];
    expect(execFileSync(openssl!, line, { encoding: "utf8" })).toContain("Verified OK");
  });

  test("a message that is too long fails alone in a batch of signatures", async () => {
    const name = await newKey("ecdsa-p256", protection);
    const messages = [Buffer.from("one"), Buffer.alloc(1024 * 1024 + 1), Buffer.from("three")];
    const { results } = await cryptography.signBatch({ name, messages });
    expect(results.map(({ error }) => error?.kind)).toEqual([undefined, "invalid-argument", undefined]);
    const { results: verified } = await cryptography.verifyBatch({
      name,
      items: [0, 2].map((at) => ({ message: messages[at]!, signature: results[at]!.signature })),
    });
    expect(verified.map(({ valid }) => valid)).toEqual([true, true]);
  });
});

test("a key whose destruction is pending changes in no way, and names the day to whoever tries", async () => {
  const name = await newKey("aes-256-gcm", "software");
  const { key } = await keys.destroyKey({ name });
  const date = timestampDate(key!.destroyAt!);
  const days = (date.getTime() - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(29.9);
  expect(days).toBeLessThan(30.1);
  const day = date.toISOString().slice(0, 10);
  for (const call of [
    () => keyGeneration.createKeyVersion({ name }),
    () => keys.changeKeyState({ name, state: "suspended" }),
    () => keys.setRotationPeriod({ name, rotationPeriodSeconds: 3600n }),
    () => keys.destroyKey({ name }),
  ]) {
    const { kind, message } = await refusalOf(call());
    expect(kind).toBe("failed-precondition");
    expect(message).toContain(day);
  }
  expect((await keys.restoreKey({ name })).key?.destroyAt).toBeUndefined();
  expect((await refusalOf(keys.restoreKey({ name }))).kind).toBe("failed-precondition");
});

test("a key that something depends on is not destroyed until the hold is gone", async () => {
  const name = await newKey("aes-256-gcm", "software");
  const { hold } = await keys.placeHold({ name, reason: "old backups" });
  const refusal = await refusalOf(keys.destroyKey({ name }));
  expect(refusal.kind).toBe("failed-precondition");
  expect(refusal.message).toContain("old backups");
  await keys.releaseHold({ name, holdId: hold!.id });
  expect((await keys.destroyKey({ name })).key?.destroyAt).toBeDefined();
});

describe("a repeated request has one effect", () => {
  test("however often a rotation, a keyring or a destruction is asked for at once", async () => {
    const name = await newKey("aes-256-gcm", "software");
    const rotation = { requestId: randomUUID(), name };
    await Promise.all(Array.from({ length: 5 }, () => keyGeneration.createKeyVersion(rotation)));
    await keyGeneration.createKeyVersion(rotation);
    expect((await keys.getKey({ name })).key?.currentVersion).toBe(2);

    const keyring = { requestId: randomUUID(), name: unique("states") };
    const made = await Promise.all(Array.from({ length: 5 }, () => keyrings.createKeyring(keyring)));
    expect(made.map((answer) => answer.keyring?.name)).toEqual(Array(5).fill(keyring.name));
    const rows = await house.superuser("SELECT 1 FROM storage.keyring_generations WHERE keyring = $1", [
      keyring.name,
    ]);
    expect(rows.length).toBe(1);

    const destruction = { requestId: randomUUID(), name };
    const first = await keys.destroyKey(destruction);
    expect((await keys.destroyKey(destruction)).key?.destroyAt).toEqual(first.key?.destroyAt);
  });

  test("an id that was used for another request is refused, and another caller may use the same", async () => {
    const name = await newKey("aes-256-gcm", "software");
    const requestId = randomUUID();
    await keys.changeKeyState({ requestId, name, state: "suspended" });
    const other = await refusalOf(keys.changeKeyState({ requestId, name, state: "deactivated" }));
    expect(other.kind).toBe("invalid-argument");
    expect((await keys.getKey({ name })).key?.state).toBe("suspended");
    const colleague = await house.enrol(unique("colleague"), "administrator", name);
    await colleague.keys.changeKeyState({ requestId, name, state: "active" });
    expect((await keys.getKey({ name })).key?.state).toBe("active");
  });
});
