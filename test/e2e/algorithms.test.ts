import { execFileSync } from "node:child_process";
import {
  createHash,
  createPublicKey,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  randomBytes,
} from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secrets } from "@claviger/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keyrings } = house.claviger;
const ring = unique("algorithms");
const directory = mkdtempSync(join(tmpdir(), "claviger-algorithms-"));
const message = Buffer.from("what is to be protected");
const openssl = findOpenssl();

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function newKey(algorithm: string, protection = "software", exportable = false): Promise<string> {
  const name = `${ring}/${unique("k")}`;
  await keyGeneration.createKey({ name, algorithm, protection, exportable });
  return name;
}

async function spkiOf(name: string): Promise<Buffer> {
  return Buffer.from((await keyGeneration.getPublicKey({ name })).subjectPublicKeyInfo);
}

function file(name: string, content: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

/** Whether OpenSSL's command line verifies it, given the public key alone. */
function opensslVerifies(spki: Buffer, options: string[], signature: Uint8Array): boolean {
  const pem = createPublicKey({ key: spki, format: "der", type: "spki" }).export({
    type: "spki",
    format: "pem",
  });
  const args = ["dgst", ...options, "-verify", file("key.pem", Buffer.from(pem)), "-signature"];
  try {
    execFileSync(openssl!, [...args, file("signature", signature), file("message", message)], {
      stdio: "pipe",
    });
    return true;
  } catch {
    return false;
  }
}

const pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
const signing: { algorithm: string; hash: string; options?: string[]; hsm: boolean }[] = [
  { algorithm: "ecdsa-p256", hash: "sha256", options: ["-sha256"], hsm: true },
  { algorithm: "ecdsa-p384", hash: "sha384", options: ["-sha384"], hsm: true },
  { algorithm: "ecdsa-p521", hash: "sha512", options: ["-sha512"], hsm: true },
  { algorithm: "rsa-pss-3072", hash: "sha256", options: ["-sha256", ...pss], hsm: true },
  { algorithm: "rsa-pss-4096", hash: "sha256", options: ["-sha256", ...pss], hsm: false },
  { algorithm: "rsa-pkcs1-3072", hash: "sha256", options: ["-sha256"], hsm: true },
  { algorithm: "ed25519", hash: "", hsm: false },
  { algorithm: "ml-dsa-44", hash: "", hsm: false },
  { algorithm: "ml-dsa-65", hash: "", hsm: false },
  { algorithm: "ml-dsa-87", hash: "", hsm: false },
  { algorithm: "slh-dsa-sha2-128s", hash: "", hsm: false },
];
const signers = signing.flatMap((row) =>
  (row.hsm ? ["software", "hsm"] : ["software"]).map((protection) => ({ ...row, protection })),
);

describe.each(signers)(
  "$algorithm with $protection protection",
  ({ algorithm, hash, options, protection }) => {
    test("signs messages, and digests where it has a hash, and OpenSSL verifies them", async () => {
      const name = await newKey(algorithm, protection);
      const spki = await spkiOf(name);
      const { signature } = await cryptography.sign({ name, message });
      expect((await cryptography.verify({ name, message, signature })).valid).toBe(true);
      expect((await cryptography.verify({ name, message: Buffer.from("no"), signature })).valid).toBe(false);
      if (options !== undefined && openssl !== undefined)
        expect(opensslVerifies(spki, options, signature)).toBe(true);
      const digest = createHash(hash || "sha256")
        .update(message)
        .digest();
      if (hash === "") {
        expect((await refusalOf(cryptography.sign({ name, digest }))).kind).toBe("invalid-argument");
        return;
      }
      const signed = await cryptography.sign({ name, digest });
      expect((await cryptography.verify({ name, message, signature: signed.signature })).valid).toBe(true);
      expect((await cryptography.verify({ name, digest, signature })).valid).toBe(true);
      const other = createHash(hash).update("other").digest();
      expect((await cryptography.verify({ name, digest: other, signature })).valid).toBe(false);
      expect((await cryptography.verify({ name, digest, signature: Buffer.from("no") })).valid).toBe(false);
      expect((await refusalOf(cryptography.sign({ name, digest: digest.subarray(1) }))).kind).toBe(
        "invalid-argument",
      );
      expect((await refusalOf(cryptography.sign({ name, digest, message }))).kind).toBe("invalid-argument");
    });
  },
);

test("a context string separates ML-DSA's signatures, and other algorithms have none", async () => {
  const name = await newKey("ml-dsa-65");
  const context = Buffer.from("invoices");
  const { signature } = await cryptography.sign({ name, message, context });
  expect((await cryptography.verify({ name, message, signature, context })).valid).toBe(true);
  expect((await cryptography.verify({ name, message, signature })).valid).toBe(false);
  const long = await refusalOf(cryptography.sign({ name, message, context: Buffer.alloc(256) }));
  expect(long.kind).toBe("invalid-argument");
  const other = await newKey("ed25519");
  expect((await refusalOf(cryptography.sign({ name: other, message, context }))).kind).toBe(
    "invalid-argument",
  );
});

describe.each(["software", "hsm"])("with %s protection", (protection) => {
  test.each(["aes-128-gcm", "aes-192-gcm"])("%s encrypts, decrypts, and encrypts anew", async (algorithm) => {
    const name = await newKey(algorithm, protection);
    const associatedData = Buffer.from("bound");
    const { ciphertext } = await cryptography.encrypt({ name, plaintext: message, associatedData });
    expect(Buffer.from((await cryptography.decrypt({ name, ciphertext, associatedData })).plaintext)).toEqual(
      message,
    );
    await keyGeneration.createKeyVersion({ name });
    const anew = await cryptography.reencrypt({ name, ciphertext, associatedData });
    expect([anew.previousVersion, anew.version]).toEqual([1, 2]);
    const opened = await cryptography.decrypt({ name, ciphertext: anew.ciphertext, associatedData });
    expect([opened.version, Buffer.from(opened.plaintext).equals(message)]).toEqual([2, true]);
    expect((await refusalOf(cryptography.reencrypt({ name, ciphertext }))).kind).toBe("integrity");
  });

  test.each([
    ["hmac-sha256", 32],
    ["hmac-sha384", 48],
    ["hmac-sha512", 64],
  ] as const)("%s makes tags of %d bytes, and verifies whole ones alone", async (algorithm, bytes) => {
    const name = await newKey(algorithm, protection);
    const { tag } = await cryptography.mac({ name, message });
    expect(tag.length).toBe(bytes);
    expect((await cryptography.verifyMac({ name, message, tag })).valid).toBe(true);
    for (const wrong of [tag.subarray(0, 16), Buffer.alloc(0), Buffer.alloc(bytes)])
      expect((await cryptography.verifyMac({ name, message, tag: wrong })).valid).toBe(false);
  });

  test.each([
    ["ecdh-p256", "P-256"],
    ["ecdh-p384", "P-384"],
  ] as const)("%s agrees with OpenSSL", async (algorithm, curve) => {
    const name = await newKey(algorithm, protection);
    const peer = generateKeyPairSync("ec", { namedCurve: curve });
    const peerPublicKey = peer.publicKey.export({ type: "spki", format: "der" });
    const publicKey = createPublicKey({ key: await spkiOf(name), format: "der", type: "spki" });
    const { secret } = await secrets.agreeSecret(house.claviger, { name, peerPublicKey });
    expect(Buffer.from(secret.expose())).toEqual(diffieHellman({ privateKey: peer.privateKey, publicKey }));
    const derived = await secrets.agreeSecret(house.claviger, { name, peerPublicKey, lengthBytes: 80 });
    expect(derived.secret.length).toBe(80);
  });
});

test("x25519 agrees with OpenSSL, and with no point of small order", async () => {
  const name = await newKey("x25519");
  const peer = generateKeyPairSync("x25519");
  const publicKey = createPublicKey({ key: await spkiOf(name), format: "der", type: "spki" });
  const { secret } = await secrets.agreeSecret(house.claviger, {
    name,
    peerPublicKey: peer.publicKey.export({ type: "spki", format: "der" }),
  });
  expect(Buffer.from(secret.expose())).toEqual(diffieHellman({ privateKey: peer.privateKey, publicKey }));
  const zero = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), Buffer.alloc(32)]);
  const refusal = await refusalOf(secrets.agreeSecret(house.claviger, { name, peerPublicKey: zero }));
  expect(refusal.kind).toBe("invalid-argument");
});

test.each(["ml-kem-768", "ml-kem-1024"])(
  "%s opens what OpenSSL encapsulates, and what it encapsulates itself",
  async (algorithm) => {
    const name = await newKey(algorithm);
    const publicKey = createPublicKey({ key: await spkiOf(name), format: "der", type: "spki" });
    const { ciphertext, sharedKey } = encapsulate(publicKey);
    const theirs = await secrets.decapsulate(house.claviger, { name, encapsulation: ciphertext });
    expect(Buffer.from(theirs.secret.expose())).toEqual(sharedKey);
    const ours = await secrets.encapsulate(house.claviger, { name });
    const opened = await secrets.decapsulate(house.claviger, { name, encapsulation: ours.encapsulation });
    expect(Buffer.from(opened.secret.expose())).toEqual(Buffer.from(ours.secret.expose()));
  },
);

test.skipIf(openssl === undefined)(
  "what OpenSSL encrypts with RSA-OAEP is decrypted, by its label",
  async () => {
    const name = await newKey("rsa-oaep-3072");
    const pem = createPublicKey({ key: await spkiOf(name), format: "der", type: "spki" }).export({
      type: "spki",
      format: "pem",
    });
    const oaep = [
      "-pkeyopt",
      "rsa_padding_mode:oaep",
      "-pkeyopt",
      "rsa_oaep_md:sha256",
      "-pkeyopt",
      "rsa_mgf1_md:sha256",
    ];
    const encrypt = (label: string[]): Buffer =>
      execFileSync(openssl!, [
        "pkeyutl",
        "-encrypt",
        "-pubin",
        "-inkey",
        file("oaep.pem", Buffer.from(pem)),
        ...oaep,
        ...label,
        "-in",
        file("plain", message),
      ]);
    const bare = await cryptography.decrypt({ name, ciphertext: encrypt([]) });
    expect(Buffer.from(bare.plaintext)).toEqual(message);
    const labelled = encrypt(["-pkeyopt", `rsa_oaep_label:${Buffer.from("label").toString("hex")}`]);
    const associatedData = Buffer.from("label");
    const opened = await cryptography.decrypt({ name, ciphertext: labelled, associatedData });
    expect(Buffer.from(opened.plaintext)).toEqual(message);
    expect((await refusalOf(cryptography.decrypt({ name, ciphertext: labelled }))).kind).toBe("integrity");
    const own = await cryptography.encrypt({ name, plaintext: message, associatedData });
    expect(
      Buffer.from(
        (await cryptography.decrypt({ name, ciphertext: own.ciphertext, associatedData })).plaintext,
      ),
    ).toEqual(message);
    expect((await refusalOf(cryptography.encrypt({ name, plaintext: randomBytes(319) }))).kind).toBe(
      "invalid-argument",
    );
  },
);

test("a data key comes sealed to its asker, and again out of its wrap", async () => {
  const name = await newKey("aes-256-kwp");
  const made = await secrets.generateDataKey(house.claviger, { name });
  const opened = await secrets.unwrapKey(house.claviger, { name, wrappedKey: made.encryptedKey });
  expect(Buffer.from(opened.secret.expose())).toEqual(Buffer.from(made.secret.expose()));
  const under = await newKey("aes-256-gcm", "hsm");
  const second = await secrets.generateDataKey(house.claviger, { name: under });
  const { plaintext } = await cryptography.decrypt({ name: under, ciphertext: second.encryptedKey });
  expect(Buffer.from(plaintext)).toEqual(Buffer.from(second.secret.expose()));
  const wrappedOnly = await cryptography.generateDataKey({ name });
  expect(wrappedOnly.sealedKey).toBeUndefined();
  const small = { name, recipientPublicKey: Buffer.alloc(32) };
  expect((await refusalOf(cryptography.generateDataKey(small))).kind).toBe("invalid-argument");
});

test("only a key that was born exportable is wrapped, and only by whoever may export it", async () => {
  const wraps = await newKey("aes-256-kwp");
  const leaves = await newKey("aes-256-gcm", "software", true);
  const stays = await newKey("aes-256-gcm");
  const { ciphertext } = await cryptography.encrypt({ name: leaves, plaintext: message });
  const { wrappedKey } = await cryptography.wrapKey({ name: wraps, targetName: leaves });
  const { secret } = await secrets.unwrapKey(house.claviger, { name: wraps, wrappedKey });
  expect(secret.length).toBe(32);
  expect(ciphertext.length).toBeGreaterThan(0);
  expect((await refusalOf(cryptography.wrapKey({ name: wraps, targetName: stays }))).kind).toBe(
    "failed-precondition",
  );
  const user = await house.enrol(unique("wrapper"), "user", ring);
  expect((await refusalOf(user.cryptography.wrapKey({ name: wraps, targetName: leaves }))).kind).toBe(
    "denied",
  );
  const hsm = keyGeneration.createKey({
    name: `${ring}/no`,
    algorithm: "aes-256-gcm",
    protection: "hsm",
    exportable: true,
  });
  expect((await refusalOf(hsm)).kind).toBe("invalid-argument");
});

test("what an HSM or an algorithm lacks is said in words, and no key is made", async () => {
  const ask = (algorithm: string, protection: string) =>
    refusalOf(keyGeneration.createKey({ name: `${ring}/lacking`, algorithm, protection }));
  expect((await ask("rsa-oaep-3072", "hsm")).message).toContain("CKM_RSA_PKCS_OAEP");
  expect((await ask("ml-dsa-65", "hsm")).kind).toBe("failed-precondition");
  expect((await ask("rsa-pss-2048", "software")).message).toContain("legacy");
  const name = await newKey("aes-256-gcm");
  expect((await refusalOf(cryptography.sign({ name, message }))).kind).toBe("failed-precondition");
  expect((await refusalOf(cryptography.mac({ name, message }))).kind).toBe("failed-precondition");
});
