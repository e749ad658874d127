import { generateKeyPairSync, type KeyObject, privateDecrypt, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings, keys } = house.claviger;
const ring = unique("partners");
const directory = mkdtempSync(join(tmpdir(), "claviger-public-"));
const message = Buffer.from("signed elsewhere");

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const newName = (): string => `${ring}/${unique("k")}`;
const derOf = (key: KeyObject): Buffer => key.export({ type: "spki", format: "der" });

test.each(["pem", "der"] as const)(
  "a public key in %s is imported on the command line, and verifies",
  async (format) => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const file = join(directory, `partner.${format}`);
    writeFileSync(file, publicKey.export({ type: "spki", format } as { type: "spki"; format: "pem" }));
    const name = newName();
    const line = ["keys", "import", name, "--algorithm", "ecdsa-p256", "--public", "--in", file];
    const { code, stderr } = await house.cli(line);
    expect(code, stderr).toBe(0);
    const signature = sign("sha256", message, privateKey);
    expect((await cryptography.verify({ name, message, signature })).valid).toBe(true);
    const other = Buffer.from("another message");
    expect((await cryptography.verify({ name, message: other, signature })).valid).toBe(false);
    expect(Buffer.from((await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo)).toEqual(
      derOf(publicKey),
    );
    const { record } = await keyGeneration.attestKey({ name });
    expect(JSON.parse(Buffer.from(record).toString())).toMatchObject({
      randomness: "imported-public",
      validation: "public-key",
    });
  },
);

test("with a public half alone one encrypts, and only its owner decrypts", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 3072 });
  const name = newName();
  await keyGeneration.importKey({ name, algorithm: "rsa-oaep-3072", publicKey: derOf(publicKey) });
  const { ciphertext } = await cryptography.encrypt({ name, plaintext: message });
  const header = Buffer.from(ciphertext).subarray(0, 25);
  const body = Buffer.from(ciphertext).subarray(25);
  const opened = privateDecrypt({ key: privateKey, oaepHash: "sha256", oaepLabel: header }, body);
  expect(opened).toEqual(message);
  expect((await refusalOf(cryptography.decrypt({ name, ciphertext }))).message).toContain(
    "public half alone",
  );
});

test("what needs the private half is refused with the reason, and the keyring's next key takes it along", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const name = newName();
  await keyGeneration.importKey({ name, algorithm: "ed25519", publicKey: derOf(publicKey) });
  for (const refused of [
    () => cryptography.sign({ name, message }),
    () => keyGeneration.createKeyVersion({ name }),
    () => keyGeneration.exportKey({ name, recipientPublicKey: new Uint8Array(32).fill(9) }),
  ]) {
    expect(await refusalOf(refused())).toMatchObject({ kind: "failed-precondition" });
  }
  expect((await keys.getKey({ name })).key?.currentVersion).toBe(1);
  const rotated = await house.cli(["keyrings", "rotate", ring]);
  expect(rotated.code, rotated.stderr).toBe(0);
  const signature = sign(null, message, privateKey);
  expect((await cryptography.verify({ name, message, signature })).valid).toBe(true);
});

test("a public key that is wrong, weak, of another algorithm or of no use alone makes no key", async () => {
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  const offCurve = derOf(p256);
  offCurve[offCurve.length - 1] = offCurve.at(-1)! ^ 1;
  const exponent3 = generateKeyPairSync("rsa", { modulusLength: 3072, publicExponent: 3 }).publicKey;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
  for (const [algorithm, publicKey] of [
    ["ecdsa-p256", offCurve],
    ["ecdsa-p256", derOf(p384)],
    ["ecdsa-p256", Buffer.from("not a key")],
    ["ecdsa-p256", Buffer.concat([derOf(p256), Buffer.alloc(1)])],
    ["rsa-pss-3072", derOf(exponent3)],
    ["ecdh-p256", derOf(p256)],
    ["aes-256-gcm", Buffer.alloc(32, 1)],
    ["ecdsa-p256", Buffer.alloc(17_000, 1)],
  ] as const) {
    const name = newName();
    const refusal = await refusalOf(keyGeneration.importKey({ name, algorithm, publicKey }));
    expect(refusal.kind, algorithm).toBe("invalid-argument");
    expect((await refusalOf(keys.getKey({ name }))).kind).toBe("not-found");
  }
  const exportable = { name: newName(), algorithm: "ecdsa-p256", publicKey: derOf(p256), exportable: true };
  expect((await refusalOf(keyGeneration.importKey(exportable))).kind).toBe("invalid-argument");
});
