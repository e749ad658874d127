import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCertificate, encodePem, randomSerial } from "@claviger/x509";
import { afterEach, expect, test } from "vitest";
import { TlsIdentity } from "./index.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

async function selfSigned(name: string): Promise<{ key: string; chain: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subjectPublicKeyInfo = publicKey.export({ type: "spki", format: "der" });
  const certificate = await buildCertificate({
    serial: randomSerial(randomBytes),
    issuer: { commonName: name },
    subject: { commonName: name },
    notBefore: new Date(Date.now() - 1000),
    notAfter: new Date(Date.now() + 60_000),
    subjectPublicKeyInfo,
    keyUsage: ["digitalSignature"],
    signer: {
      algorithm: "ecdsa-p256-sha256",
      subjectPublicKeyInfo,
      sign: async (tbs) => sign("sha256", tbs, privateKey),
    },
  });
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    chain: encodePem("CERTIFICATE", certificate),
  };
}

async function identityDirectory() {
  const directory = mkdtempSync(join(tmpdir(), "claviger-identity-"));
  directories.push(directory);
  const old = await selfSigned("old");
  writeFileSync(join(directory, "key.pem"), old.key);
  writeFileSync(join(directory, "cert.pem"), old.chain);
  return { directory, old, next: await selfSigned("next"), at: (name: string) => join(directory, name) };
}

test("a replacement is announced, kept in files that nobody else can read, and leaves no half behind", async () => {
  const { at, directory, next } = await identityDirectory();
  const identity = TlsIdentity.load(directory);
  const seen: string[] = [];
  identity.onChange((material) => seen.push(material.certificateChain));
  identity.replaceCertificate(next.key, next.chain);
  expect(seen).toEqual([next.chain]);
  expect(readFileSync(at("key.pem"), "utf8")).toBe(next.key);
  expect(existsSync(at("key.pem.next"))).toBe(false);
});

test("a crash before the new certificate was written keeps the old pair", async () => {
  const { at, directory, next, old } = await identityDirectory();
  writeFileSync(at("key.pem.next"), next.key);
  expect(TlsIdentity.load(directory).material.key).toBe(old.key);
  expect(existsSync(at("key.pem.next"))).toBe(false);
});

test("a crash in the middle of writing the new certificate keeps the old pair", async () => {
  const { at, directory, next, old } = await identityDirectory();
  writeFileSync(at("key.pem.next"), next.key);
  writeFileSync(at("cert.pem.next"), next.chain.slice(0, 200));
  const { material } = TlsIdentity.load(directory);
  expect([material.key, material.certificateChain]).toEqual([old.key, old.chain]);
});

test("a crash between the two renames is finished by the next reader", async () => {
  const { at, directory, next } = await identityDirectory();
  writeFileSync(at("key.pem.next"), next.key);
  writeFileSync(at("cert.pem"), next.chain);
  const { material } = TlsIdentity.load(directory);
  expect([material.key, material.certificateChain]).toEqual([next.key, next.chain]);
});
