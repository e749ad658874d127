import { execFile } from "node:child_process";
import {
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { importKey } from "@claviger/client";
import { createRecipient, sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const ring = unique("transfer");
const directory = mkdtempSync(join(tmpdir(), "claviger-transfer-"));
const message = Buffer.from("moved house");

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const newName = (): string => `${ring}/${unique("k")}`;
const secretOf = (bytes: Uint8Array): SecretBytes => SecretBytes.take(Uint8Array.from(bytes));

test("material that is another key already is refused, under any name and also once that key is destroyed", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const file = join(directory, "twice.pem");
  writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }));
  const bytes = join(directory, "twice.key");
  writeFileSync(bytes, randomBytes(32));
  for (const [algorithm, path] of [
    ["ecdsa-p256", file],
    ["aes-256-gcm", bytes],
  ] as const) {
    const name = newName();
    const line = (into: string) => ["keys", "import", into, "--algorithm", algorithm, "--in", path];
    expect(await house.cli(line(name))).toMatchObject({ code: 0 });
    const again = await house.cli(line(newName()));
    expect(again).toMatchObject({ code: 5 });
    expect(again.stderr).toContain("is, or was, another key already");
    await keys.destroyKey({ name });
    expect(await house.cli(line(newName()))).toMatchObject({ code: 5 });
  }
});

test.each([
  ["ecdsa-p256", () => generateKeyPairSync("ec", { namedCurve: "P-256" })],
  ["ed25519", () => generateKeyPairSync("ed25519")],
  ["rsa-pkcs1-3072", () => generateKeyPairSync("rsa", { modulusLength: 3072 })],
] as const)(
  "a key for %s that was made elsewhere signs here, and keeps its public half",
  async (algorithm, make) => {
    const { privateKey, publicKey } = make();
    const name = newName();
    const file = join(directory, "key.pem");
    writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }));
    const { code, stderr } = await house.cli([
      "keys",
      "import",
      name,
      "--algorithm",
      algorithm,
      "--in",
      file,
    ]);
    expect(code, stderr).toBe(0);
    const { signature } = await cryptography.sign({ name, message });
    expect(verify(algorithm === "ed25519" ? null : "sha256", message, publicKey, signature)).toBe(true);
    const theirs = sign(algorithm === "ed25519" ? null : "sha256", message, privateKey);
    expect((await cryptography.verify({ name, message, signature: theirs })).valid).toBe(true);
    const record = JSON.parse(
      Buffer.from((await keyGeneration.attestKey({ name })).record).toString(),
    ) as object;
    expect(record).toMatchObject({ randomness: "imported" });
  },
);

test.each([
  ["ecdsa-p384", () => generateKeyPairSync("ec", { namedCurve: "P-384" })],
  ["rsa-pss-3072", () => generateKeyPairSync("rsa", { modulusLength: 3072 })],
] as const)("a key for %s that was made elsewhere is used in the HSM alone", async (algorithm, make) => {
  const { privateKey, publicKey } = make();
  const name = newName();
  const file = join(directory, "hsm.pem");
  writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }));
  const line = ["keys", "import", name, "--algorithm", algorithm, "--protection", "hsm", "--in", file];
  const { code, stderr } = await house.cli(line);
  expect(code, stderr).toBe(0);
  expect((await keys.getKey({ name })).key).toMatchObject({ protection: "hsm", exportable: false });
  const { signature } = await cryptography.sign({ name, message });
  const key = algorithm === "ecdsa-p384" ? publicKey : { key: publicKey, padding: 6, saltLength: 32 };
  expect(verify(algorithm === "ecdsa-p384" ? "sha384" : "sha256", message, key, signature)).toBe(true);
  const { record } = await keyGeneration.attestKey({ name });
  expect(JSON.parse(Buffer.from(record).toString())).toMatchObject({
    randomness: "imported",
    protection: "hsm",
  });
  // Its next version is born there.
  expect((await keyGeneration.createKeyVersion({ name })).key).toMatchObject({ currentVersion: 2 });
});

test.each([
  ["aes-256-gcm", 32],
  ["hmac-sha256", 64],
] as const)(
  "bytes for %s that were made elsewhere are used in the HSM, also after they moved to a new keyring key",
  async (algorithm, length) => {
    const bytes = randomBytes(length);
    const own = unique("moved");
    await keyrings.createKeyring({ name: own });
    const name = `${own}/k`;
    const imported = { name, algorithm, protection: "hsm" };
    await importKey(house.claviger, imported, secretOf(bytes));
    const again = importKey(house.claviger, { ...imported, name: newName() }, secretOf(bytes));
    expect((await refusalOf(again)).message).toContain("another key already");
    const check = async (): Promise<void> => {
      if (algorithm === "hmac-sha256") {
        const { tag } = await cryptography.mac({ name, message });
        expect(Buffer.from(tag)).toEqual(createHmac("sha256", bytes).update(message).digest());
        return;
      }
      const { ciphertext } = await cryptography.encrypt({ name, plaintext: message });
      const decipher = createDecipheriv("aes-256-gcm", bytes, ciphertext.subarray(25, 37));
      decipher.setAAD(ciphertext.subarray(0, 37)).setAuthTag(ciphertext.subarray(-16));
      expect(Buffer.from(decipher.update(ciphertext.subarray(37, -16)))).toEqual(message);
    };
    await check();
    await keyrings.rotateKeyring({ name: own });
    await until(async () => {
      const { generations } = (await keys.getKeyring({ name: own })).keyring!;
      return generations.slice(0, -1).every(({ destroyedAt }) => destroyedAt !== undefined);
    }, 20_000);
    await check();
  },
);

test("what the HSM cannot hold, or would have to let out again, is not imported into it", async () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const ed25519 = privateKey.export({ type: "pkcs8", format: "der" });
  const base = { name: newName(), protection: "hsm" };
  const into = (request: object, material: Uint8Array) =>
    refusalOf(
      importKey(house.claviger, { ...base, algorithm: "aes-256-gcm", ...request }, secretOf(material)),
    );
  expect((await into({ algorithm: "ed25519" }, ed25519)).kind).toBe("failed-precondition");
  expect((await into({ exportable: true }, randomBytes(32))).kind).toBe("invalid-argument");
  expect((await into({ protection: "vault" }, randomBytes(32))).kind).toBe("invalid-argument");
  expect((await into({}, randomBytes(31))).kind).toBe("invalid-argument");
});

test("what does not fit the algorithm is refused, and no key is made", async () => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const p384 = privateKey.export({ type: "pkcs8", format: "der" });
  const small = generateKeyPairSync("rsa", { modulusLength: 3072, publicExponent: 3 });
  const exponent3 = small.privateKey.export({ type: "pkcs8", format: "der" });
  for (const [algorithm, material] of [
    ["aes-256-gcm", randomBytes(31)],
    ["aes-256-gcm", randomBytes(33)],
    ["hmac-sha256", randomBytes(16)],
    ["ecdsa-p256", p384],
    ["ecdsa-p256", randomBytes(100)],
    ["rsa-pss-3072", exponent3],
    ["rsa-pss-3072", p384],
    ["no-such", randomBytes(32)],
  ] as const) {
    const name = newName();
    const refusal = await refusalOf(importKey(house.claviger, { name, algorithm }, secretOf(material)));
    expect(refusal.kind, algorithm).toBe("invalid-argument");
    expect((await refusalOf(keys.getKey({ name }))).kind).toBe("not-found");
  }
});

test("a wrapping key is for one import, one caller and one name", async () => {
  const name = newName();
  const { importId, wrappingPublicKey } = await keyGeneration.beginImport({ name });
  const method = "claviger.generator.v1.KeyGenerationService/ImportKey";
  const sealed = (bound = name) =>
    sealSecret(wrappingPublicKey, { method, name: bound, version: 1 }, secretOf(randomBytes(32)));
  const request = { name, algorithm: "aes-256-gcm", importId };
  const another = await house.enrol(unique("importer"), "administrator", ring);
  const stolen = another.keyGeneration.importKey({ ...request, sealedMaterial: await sealed() });
  expect((await refusalOf(stolen)).kind).toBe("failed-precondition");
  const elsewhere = keyGeneration.importKey({ ...request, name: newName(), sealedMaterial: await sealed() });
  expect((await refusalOf(elsewhere)).kind).toBe("failed-precondition");
  const wrong = keyGeneration.importKey({ ...request, sealedMaterial: await sealed("ring/other") });
  expect((await refusalOf(wrong)).kind).toBe("integrity");
  // That one used it up.
  const again = keyGeneration.importKey({ ...request, sealedMaterial: await sealed() });
  expect((await refusalOf(again)).kind).toBe("failed-precondition");
  const user = await house.enrol(unique("user"), "user", ring);
  expect((await refusalOf(user.keyGeneration.beginImport({ name }))).kind).toBe("denied");
});

test("only so many imports are begun at a time", async () => {
  const caller = await house.enrol(unique("many"), "administrator", ring);
  for (let count = 0; count < 10; count += 1) await caller.keyGeneration.beginImport({ name: newName() });
  expect((await refusalOf(caller.keyGeneration.beginImport({ name: newName() }))).kind).toBe("exhausted");
});

test("an exportable key leaves sealed to its recipient, who opens it without Claviger", async () => {
  const name = newName();
  const created = await house.cli(["keys", "create", name, "--algorithm", "aes-256-gcm", "--exportable"]);
  expect(created.code, created.stderr).toBe(0);
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  const [own, theirs, out] = ["private.pem", "public.pem", "export.json"].map((file) =>
    join(directory, file),
  ) as [string, string, string];
  writeFileSync(own, privateKey.export({ type: "pkcs8", format: "pem" }));
  writeFileSync(theirs, publicKey.export({ type: "spki", format: "pem" }));
  const { code, stderr } = await house.cli(["keys", "export", name, "--recipient", theirs, "--out", out]);
  expect(code, stderr).toBe(0);
  const example = join(import.meta.dirname, "../../examples/open-export.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [example, out, own], { encoding: "buffer" });
  expect(stdout.length).toBe(32);
  // docs/formats.md: 25 bytes and the nonce are the header, which the tag covers.
  const ciphertext = Buffer.from((await cryptography.encrypt({ name, plaintext: message })).ciphertext);
  const decipher = createDecipheriv("aes-256-gcm", stdout, ciphertext.subarray(25, 37));
  decipher.setAAD(ciphertext.subarray(0, 37)).setAuthTag(ciphertext.subarray(-16));
  expect(Buffer.concat([decipher.update(ciphertext.subarray(37, -16)), decipher.final()])).toEqual(message);
  // It is this very key, so it cannot be another one too.
  const again = importKey(house.claviger, { name: newName(), algorithm: "aes-256-gcm" }, secretOf(stdout));
  expect((await refusalOf(again)).kind).toBe("failed-precondition");
});

test("what may not leave does not leave", async () => {
  const recipientPublicKey = (await createRecipient()).publicKey;
  const stays = newName();
  await keyGeneration.createKey({ name: stays, algorithm: "aes-256-gcm" });
  expect((await refusalOf(keyGeneration.exportKey({ name: stays, recipientPublicKey }))).kind).toBe(
    "failed-precondition",
  );
  const leaves = newName();
  await keyGeneration.createKey({ name: leaves, algorithm: "ecdsa-p256", exportable: true });
  const user = await house.enrol(unique("user"), "user", ring);
  expect((await refusalOf(user.keyGeneration.exportKey({ name: leaves, recipientPublicKey }))).kind).toBe(
    "denied",
  );
  for (const key of [new Uint8Array(0), new Uint8Array(32), randomBytes(31)]) {
    expect((await refusalOf(keyGeneration.exportKey({ name: leaves, recipientPublicKey: key }))).kind).toBe(
      "invalid-argument",
    );
  }
  await keys.changeKeyState({ name: leaves, state: "suspended" });
  expect((await refusalOf(keyGeneration.exportKey({ name: leaves, recipientPublicKey }))).kind).toBe(
    "failed-precondition",
  );
  for (const own of ["system/ca-root", "system/attestation"]) {
    expect((await refusalOf(keyGeneration.exportKey({ name: own, recipientPublicKey }))).kind).toBe("denied");
  }
});

test("an exported private key is the one that signs here", async () => {
  const name = newName();
  await keyGeneration.createKey({ name, algorithm: "ecdsa-p384", exportable: true });
  const recipient = await createRecipient();
  const answer = await keyGeneration.exportKey({ name, recipientPublicKey: recipient.publicKey });
  const method = "claviger.generator.v1.KeyGenerationService/ExportKey";
  using material = await recipient.open(answer.sealedMaterial!, { method, name, version: 1 });
  const key = createPrivateKey({ key: Buffer.from(material.expose()), format: "der", type: "pkcs8" });
  const spki = createPublicKey(key).export({ type: "spki", format: "der" });
  expect(spki).toEqual(Buffer.from((await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo));
});
