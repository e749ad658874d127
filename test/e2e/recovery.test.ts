import { createDecipheriv, createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { combineShares } from "../../services/generator/src/ceremony/shares.ts";
import { unique, useInstallation } from "../harness/installation.ts";
import { unwrapWithPadding } from "../harness/key-unwrap.ts";

// What a quorum of custodians can do with the database and no HSM, done by hand: nothing but the shares'
// combination is Claviger's own code.
const house = useInstallation();
const { cryptography, keyGeneration, keyrings } = house.claviger;

function share(number: number): string {
  return readFileSync(join(house.layout.recoveryDirectory, `share-${number}.txt`), "utf8");
}

async function recoveryKey(...numbers: number[]): Promise<Buffer> {
  using key = await combineShares(numbers.map(share));
  return Buffer.from(key.expose());
}

/** Version, protection, wrapping, keyring generation, and two byte strings with lengths; then the MAC. */
function readEnvelope(material: Buffer) {
  const wrappedEnd = 9 + material.readUInt16BE(7);
  const publicEnd = wrappedEnd + 2 + material.readUInt16BE(wrappedEnd);
  return {
    version: material[0],
    protection: material[1],
    generation: material.readUInt32BE(3),
    wrapped: material.subarray(9, wrappedEnd),
    publicKey: material.subarray(wrappedEnd + 2, publicEnd),
    body: material.subarray(0, publicEnd),
    mac: material.subarray(publicEnd),
  };
}

/** Software material states its own length before RFC 5649 pads it. */
function withoutLength(padded: Buffer): Buffer {
  return padded.subarray(4, 4 + padded.readUInt32BE(0));
}

interface MaterialRow {
  id: string;
  material: Buffer;
  recovery_wrap: Buffer;
}

async function recover(name: string, key: Uint8Array) {
  const [row] = await house.superuser<MaterialRow>(
    `SELECT k.id, v.material, g.recovery_wrap
       FROM storage.keys k
       JOIN storage.key_versions v ON v.key_id = k.id AND v.version = 1
       JOIN storage.keyring_generations g ON g.keyring = k.keyring AND g.generation = 1
      WHERE k.keyring || '/' || k.name = $1`,
    [name],
  );
  const envelope = readEnvelope(row!.material);
  expect(envelope).toMatchObject({ version: 1, generation: 1 });
  expect(row!.recovery_wrap.length).toBe(40);
  const keyringKey = unwrapWithPadding(key, row!.recovery_wrap);
  expect(keyringKey.length).toBe(32);
  return { id: row!.id, envelope, material: unwrapWithPadding(keyringKey, envelope.wrapped) };
}

async function newKey(algorithm: string, protection: string): Promise<string> {
  const keyring = unique("recovery");
  await keyrings.createKeyring({ name: keyring });
  await keyGeneration.createKey({ name: `${keyring}/k`, algorithm, protection });
  return `${keyring}/k`;
}

/** Header (magic 4, key id 16, version 4, suite 1, nonce 12), then the sealed text and the tag. */
function decryptByHand(ciphertext: Buffer, key: Buffer, associatedData: Buffer): string {
  const decipher = createDecipheriv("aes-256-gcm", key, ciphertext.subarray(25, 37));
  decipher.setAAD(Buffer.concat([ciphertext.subarray(0, 37), associatedData]));
  decipher.setAuthTag(ciphertext.subarray(-16));
  return Buffer.concat([decipher.update(ciphertext.subarray(37, -16)), decipher.final()]).toString();
}

for (const [first, second] of [
  [1, 2],
  [3, 1],
] as const) {
  test(`shares ${first} and ${second} and the database decrypt what a software key encrypted`, async () => {
    const name = await newKey("aes-256-gcm", "software");
    const associatedData = Buffer.from("customer 17");
    const plaintext = Buffer.from("kept for the worst day");
    const { ciphertext } = await cryptography.encrypt({ name, plaintext, associatedData });
    const { material } = await recover(name, await recoveryKey(first, second));
    const key = withoutLength(material);
    expect(key.length).toBe(32);
    expect(decryptByHand(Buffer.from(ciphertext), key, associatedData)).toBe("kept for the worst day");
  });
}

test("a key that never left the HSM is recovered too: it decrypts and signs", async () => {
  const key = await recoveryKey(2, 3);
  const cipher = await newKey("aes-256-gcm", "hsm");
  const { ciphertext } = await cryptography.encrypt({ name: cipher, plaintext: Buffer.from("in the token") });
  const recovered = await recover(cipher, key);
  expect(decryptByHand(Buffer.from(ciphertext), recovered.material, Buffer.alloc(0))).toBe("in the token");

  const signer = await newKey("ecdsa-p256", "hsm");
  const { envelope, material } = await recover(signer, key);
  const privateKey = createPrivateKey({ key: material, format: "der", type: "pkcs8" });
  const { subjectPublicKeyInfo } = await keyGeneration.getPublicKey({ name: signer });
  expect(
    createPublicKey(privateKey).export({ format: "der", type: "spki" }).equals(subjectPublicKeyInfo),
  ).toBe(true);
  expect(envelope.publicKey.equals(subjectPublicKeyInfo)).toBe(true);
  const message = Buffer.from("signed without the HSM");
  const signature = sign("sha256", message, privateKey);
  expect((await cryptography.verify({ name: signer, message, signature })).valid).toBe(true);
});

test("the binding key is recovered: it confirms what the HSM bound to the material", async () => {
  const name = await newKey("aes-256-gcm", "software");
  const key = await recoveryKey(1, 3);
  const ceremony = JSON.parse(
    readFileSync(join(house.layout.serviceDirectory("generator"), "ceremony.json"), "utf8"),
  ) as { custody: object; recoveryWraps: Record<string, string> };
  expect(ceremony.custody).toEqual({ threshold: 2, shares: 3 });
  const bindingKey = unwrapWithPadding(key, Buffer.from(ceremony.recoveryWraps["binding-mac"]!, "base64"));
  const { envelope, id } = await recover(name, key);
  const sized = (text: string): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(text));
    return Buffer.concat([length, Buffer.from(text)]);
  };
  const bound = Buffer.concat([
    sized("claviger/material/v1"),
    sized(name),
    Buffer.from(id.replaceAll("-", ""), "hex"),
    Buffer.of(0, 0, 0, 1),
    sized("aes-256-gcm"),
    sized("encrypt-decrypt"),
    sized("software"),
    Buffer.of(0),
    envelope.body,
  ]);
  expect(createHmac("sha256", bindingKey).update(bound).digest().equals(envelope.mac)).toBe(true);
});

test("the services' seal keys are recovered as they lie in their files", async () => {
  const key = await recoveryKey(1, 2);
  const { recoveryWraps } = JSON.parse(
    readFileSync(join(house.layout.serviceDirectory("generator"), "ceremony.json"), "utf8"),
  ) as { recoveryWraps: Record<string, string> };
  for (const service of ["storage", "distribution", "rotation"] as const) {
    const wrapped = Buffer.from(recoveryWraps[`seal-${service}`]!, "base64");
    const file = readFileSync(join(house.layout.serviceDirectory(service), "seal.key"));
    const recovered = unwrapWithPadding(key, wrapped);
    expect(
      [recovered, withoutLength(recovered)].some((found) => found.equals(file)),
      service,
    ).toBe(true);
  }
});

test("one share alone, and one share twice, recover nothing", async () => {
  await expect(combineShares([share(1)])).rejects.toMatchObject({ kind: "invalid-argument" });
  await expect(combineShares([share(1), share(1)])).rejects.toMatchObject({ kind: "invalid-argument" });
});
