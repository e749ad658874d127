import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import {
  buildCrl,
  type CrlEntry,
  isRevocationReason,
  type RevocationReason,
  revocationReasons,
} from "./crl.ts";
import { createDerReader, readDer, readDerChildren } from "./der-reader.ts";
import { encodePem } from "./pem.ts";
import { randomSerial, serialFromHex } from "./serial.ts";
import { type Authority, createAuthority, day, issueLeaf } from "./test-support/authority.ts";
import { createWorkspace, hasOpenssl, withoutOpenssl } from "./test-support/openssl.ts";

const now = new Date();

function crlOf(
  authority: Authority,
  entries: Iterable<CrlEntry>,
  number: number | bigint = 1,
): Promise<Uint8Array> {
  return buildCrl({
    issuer: authority.certificate.subject,
    thisUpdate: new Date(now.getTime() - 60_000),
    nextUpdate: new Date(now.getTime() + day),
    number,
    entries,
    authorityKeyId: authority.certificate.subjectKeyId!,
    signer: authority.signer,
  });
}

function entry(reason: RevocationReason, serial = randomSerial(randomBytes)): CrlEntry {
  return { serial, revokedAt: now, reason };
}

test("openssl sees who is revoked and why, and lets the others pass", async ({ skip }) => {
  if (!hasOpenssl) skip(withoutOpenssl);
  using workspace = createWorkspace();
  const root = await createAuthority("Root");
  const [good, bad] = [await issueLeaf(root), await issueLeaf(root)];
  const reasons = Object.keys(revocationReasons).filter(isRevocationReason);
  const entries = [
    entry("keyCompromise", serialFromHex(bad.serial)),
    ...reasons.map((reason) => entry(reason)),
  ];
  workspace.write("root.pem", encodePem("CERTIFICATE", root.certificate.der));
  workspace.write("good.pem", encodePem("CERTIFICATE", good.der));
  workspace.write("bad.pem", encodePem("CERTIFICATE", bad.der));
  const check = ["verify", "-x509_strict", "-crl_check", "-CAfile", "root.pem", "-CRLfile", "root.crl"];
  workspace.write("root.crl", encodePem("X509 CRL", await crlOf(root, entries)));
  expect(workspace.openssl(...check, "good.pem")).toMatchObject({ ok: true });
  expect(workspace.openssl(...check, "bad.pem").output).toMatch(/certificate revoked/);
  const { output } = workspace.openssl("crl", "-in", "root.crl", "-noout", "-text", "-CAfile", "root.pem");
  expect(output).toMatch(/verify OK/);
  for (const words of [
    "Key Compromise",
    "CA Compromise",
    "Privilege Withdrawn",
    "AA Compromise",
    "Certificate Hold",
  ]) {
    expect(output).toContain(words);
  }
  expect(output).not.toContain("Unspecified");
  workspace.write("root.crl", encodePem("X509 CRL", await crlOf(root, [])));
  expect(workspace.openssl(...check, "bad.pem")).toMatchObject({ ok: true });
});

test("an empty CRL leaves the list out", async () => {
  const der = await crlOf(await createAuthority("Root"), []);
  const tbs = createDerReader(readDer(der, "the CRL").content, "the CRL").any("its body");
  // Version, algorithm, issuer, two times and the extensions: no list between them.
  expect(readDerChildren(tbs, "the CRL").map(({ tag }) => tag)).toEqual([0x02, 0x30, 0x30, 0x17, 0x17, 0xa0]);
});

test("removeFromCRL and unknown reasons are refused, and so are dates and numbers that make no sense", async () => {
  const root = await createAuthority("Root");
  for (const reason of ["removeFromCRL", "boredom", "toString"]) {
    expect(isRevocationReason(reason)).toBe(false);
    await expect(crlOf(root, [entry(reason as RevocationReason)])).rejects.toThrow(/not a reason/);
  }
  await expect(crlOf(root, [], -1)).rejects.toThrow(/whole number/);
  await expect(crlOf(root, [], 2n ** 160n)).rejects.toThrow(/20 octets/);
  const backwards = {
    thisUpdate: now,
    nextUpdate: now,
    number: 1,
    entries: [],
    authorityKeyId: Uint8Array.of(1),
  };
  await expect(buildCrl({ ...backwards, issuer: root.name, signer: root.signer })).rejects.toThrow(
    /after this/,
  );
});

test("ten thousand entries do not block the event loop for long", async () => {
  const root = await createAuthority("Root");
  const entries = Array.from({ length: 10_000 }, () => entry("superseded"));
  await crlOf(root, entries);
  const start = performance.now();
  await crlOf(root, entries);
  // Measured 20 to 50 ms; the bound leaves room for a busy machine, and still catches a schema library's second.
  expect(performance.now() - start).toBeLessThan(400);
});
