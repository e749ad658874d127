import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { parseCertificateSigningRequest } from "./csr.ts";
import { buildCertificateSigningRequest } from "./csr-builder.ts";

test("what is built is read back, with its key and its subject", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const request = buildCertificateSigningRequest({ privateKey, subject: { commonName: "billing" } });
  const read = parseCertificateSigningRequest(request);
  expect(read.subject.commonName).toBe("billing");
  expect(Buffer.from(read.subjectPublicKeyInfo)).toEqual(publicKey.export({ type: "spki", format: "der" }));
});

test("a key that is not P-256 is refused", () => {
  const { privateKey } = generateKeyPairSync("ed25519");
  expect(() => buildCertificateSigningRequest({ privateKey })).toThrow("P-256");
});
