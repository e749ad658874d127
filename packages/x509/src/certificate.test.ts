import { randomBytes, X509Certificate } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { describe, expect, test } from "vitest";
import type { CertificateOptions } from "./certificate.ts";
import { encodePem } from "./pem.ts";
import { type Certificate, readCertificate, splitChain } from "./read-certificate.ts";
import { randomSerial, serialFromHex, serialToHex } from "./serial.ts";
import { createAuthority, day, issueLeaf, newSpki } from "./test-support/authority.ts";
import { createWorkspace, hasOpenssl, withoutOpenssl } from "./test-support/openssl.ts";

const pemOf = (certificate: Certificate) => encodePem("CERTIFICATE", certificate.der);

describe("a certificate", () => {
  test("is verified by openssl with x509_strict, root to issuing to leaf", async ({ skip }) => {
    if (!hasOpenssl) skip(withoutOpenssl);
    using workspace = createWorkspace();
    const root = await createAuthority("Root");
    const issuing = await createAuthority("Issuing", root, { basicConstraints: { ca: true, pathLength: 0 } });
    const named = {
      subject: { commonName: "payments" },
      subjectAltNames: [{ ip: "::1" }, { email: "a@b.test" }],
    };
    const addresses = {
      crlDistributionPoints: ["http://ca.test/a.crl"],
      caIssuers: ["http://ca.test/ca.der"],
      ocsp: ["http://ca.test/ocsp"],
    };
    const responder = { extendedKeyUsage: ["OCSPSigning"] as const, ocspNoCheck: true };
    const after2050 = { notAfter: new Date("2055-06-01T00:00:00Z") };
    workspace.write("root.pem", pemOf(root.certificate));
    workspace.write("issuing.pem", pemOf(issuing.certificate));
    for (const options of [{}, { ...named, ...addresses }, responder, after2050]) {
      workspace.write("leaf.pem", pemOf(await issueLeaf(issuing, options)));
      const files = ["-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem"];
      expect(workspace.openssl("verify", "-x509_strict", ...files)).toMatchObject({ ok: true });
    }
  });

  test("marks the alternative names critical only when the subject is empty", async () => {
    const root = await createAuthority("Root");
    expect((await issueLeaf(root)).criticalExtensions).toEqual(["2.5.29.15", "2.5.29.17"]);
    const named = await issueLeaf(root, { subject: { commonName: "a" } });
    expect(named.criticalExtensions).toEqual(["2.5.29.15"]);
    expect(root.certificate.criticalExtensions).toEqual(["2.5.29.19", "2.5.29.15"]);
  });

  test("is refused where RFC 5280 forbids it", async () => {
    const root = await createAuthority("Root");
    const cases: [Partial<CertificateOptions>, RegExp][] = [
      [{ subjectAltNames: [] }, /subject or a subject alternative/],
      [{ notAfter: new Date(0) }, /end before/],
      [{ notAfter: new Date(Number.NaN) }, /end before/],
      [{ basicConstraints: { ca: true } }, /together/],
      [{ keyUsage: ["keyCertSign"] }, /together/],
      [{ keyUsage: [] }, /key usage/],
      [{ basicConstraints: { ca: false, pathLength: 0 } }, /path length/],
      [{ basicConstraints: { ca: true }, keyUsage: ["keyCertSign"] }, /needs a subject/],
      [{ issuer: {} }, /issuer's name is empty/],
      [{ serial: new Uint8Array(16) }, /serial/],
      [{ serial: new Uint8Array(20).fill(0xff) }, /serial/],
      [{ subjectPublicKeyInfo: Uint8Array.of(1) }, /public key/],
      [{ subjectAltNames: [{ dns: "a..b" }] }, /empty label/],
      [{ ocsp: ["not a uri"] }, /URI/],
    ];
    for (const [options, problem] of cases) await expect(issueLeaf(root, options)).rejects.toThrow(problem);
  });

  test("is not assembled around a signature that is none", async () => {
    const root = await createAuthority("Root");
    const signer = { ...root.signer, sign: async () => new Uint8Array(64).fill(1) };
    await expect(issueLeaf(root, { signer })).rejects.toMatchObject({ kind: "internal" });
  });
});

test("a random serial always has sixteen octets and the same length in hex", () => {
  for (const fill of [0x00, 0x7f, 0x80, 0xff]) {
    const serial = randomSerial((length) => new Uint8Array(length).fill(fill));
    expect(serialToHex(serial)).toMatch(/^[4-7][0-9a-f]{31}$/);
    expect(serialFromHex(serialToHex(serial))).toEqual(serial);
  }
  expect(serialToHex(Uint8Array.of(0x80))).toBe("0080");
  expect(() => serialFromHex("abc")).toThrow(DomainError);
});

describe("reading", () => {
  test("gives back what was written, and agrees with node:crypto", async () => {
    const root = await createAuthority("Root");
    const serial = randomSerial(randomBytes);
    const spki = newSpki();
    const notBefore = new Date("2026-01-01T00:00:00Z");
    const leaf = await issueLeaf(root, { serial, notBefore, subjectPublicKeyInfo: spki });
    const node = new X509Certificate(leaf.der);
    expect(leaf.serial).toBe(serialToHex(serial));
    expect(leaf.serial.toUpperCase()).toBe(node.serialNumber);
    expect(leaf.notBefore).toEqual(notBefore);
    expect(leaf.notAfter).toEqual(new Date(node.validTo));
    expect(leaf.subjectPublicKeyInfo).toEqual(spki);
    expect(leaf.uris).toEqual(["spiffe://example.test/workload/payments"]);
    expect(leaf.isCa).toBe(false);
    expect(leaf.authorityKeyId).toEqual(root.certificate.subjectKeyId);
    expect(leaf.issuer).toEqual(root.certificate.subject);
    expect(leaf.fingerprintSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(readCertificate(pemOf(leaf)).fingerprintSha256).toBe(leaf.fingerprintSha256);
    expect(node.verify(root.certificate.x509.publicKey)).toBe(true);
  });

  test("refuses a truncated certificate at every byte, and bytes after it", async () => {
    const { der } = await issueLeaf(await createAuthority("Root"));
    for (let length = 0; length < der.length; length++) {
      expect(() => readCertificate(der.subarray(0, length)), `${length} bytes`).toThrow(DomainError);
    }
    expect(() => readCertificate(Uint8Array.from([...der, 0]))).toThrow(/left over/);
  });

  test("splits a chain and refuses a key among the certificates", async () => {
    const root = await createAuthority("Root");
    const leaf = await issueLeaf(root);
    expect(splitChain(pemOf(leaf) + pemOf(root.certificate))).toEqual([leaf.der, root.certificate.der]);
    expect(() => splitChain(pemOf(leaf) + encodePem("PRIVATE KEY", leaf.der))).toThrow(/PRIVATE KEY/);
    expect(() => splitChain("")).toThrow(/no certificate/);
  });
});

test("dates outside what X.509 can say are refused rather than folded", async () => {
  const root = await createAuthority("Root");
  const options = { notBefore: new Date(-10_000 * day) };
  await expect(issueLeaf(root, options)).rejects.toThrow(/1950/);
});
