import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { contextConstructed, integerFromNumber, octetString, oid, sequence, tlv } from "./der.ts";
import { extension } from "./extensions.ts";
import { readOcspRequest } from "./ocsp-request.ts";
import {
  assembleOcspResponse,
  encodeOcspCertificateId,
  encodeOcspResponseData,
  type OcspStatus,
  ocspRefusal,
} from "./ocsp-response.ts";
import { oids } from "./oids.ts";
import { encodePem } from "./pem.ts";
import { type Authority, createAuthority, createSigner, day, issueLeaf } from "./test-support/authority.ts";
import { createWorkspace, hasOpenssl, withoutOpenssl } from "./test-support/openssl.ts";

const anyId = encodeOcspCertificateId(
  "sha1",
  { subject: Uint8Array.of(1), subjectPublicKeyInfo: createSigner().subjectPublicKeyInfo },
  Uint8Array.of(0x12, 0x34),
);

interface Bent {
  entries?: Uint8Array[];
  version?: Uint8Array;
  extensions?: Uint8Array[];
  after?: Uint8Array[];
}

function requestOf({
  after = [],
  entries = [sequence([anyId])],
  extensions,
  version,
}: Bent = {}): Uint8Array {
  return sequence([
    sequence([
      ...(version === undefined ? [] : [contextConstructed(0, [version])]),
      sequence(entries),
      ...(extensions === undefined ? [] : [contextConstructed(2, [sequence(extensions)])]),
      ...after,
    ]),
  ]);
}

const nonceOf = (bytes: number) => extension(oids.ocspNonce, octetString(new Uint8Array(bytes).fill(7)));
const critical = extension("1.2.3.4", Uint8Array.of(5, 0), true);
const idWith = (hash: string, bytes: number, serial = Uint8Array.of(1)): Uint8Array =>
  sequence([
    sequence([
      sequence([oid(hash)]),
      octetString(new Uint8Array(bytes)),
      octetString(new Uint8Array(bytes)),
      tlv(2, serial),
    ]),
  ]);

test("a request says which certificates it is about, and its nonce", () => {
  const plain = readOcspRequest(requestOf());
  expect(plain.nonce).toBeUndefined();
  expect(plain.certificates).toHaveLength(1);
  expect(plain.certificates[0]).toMatchObject({ hash: "sha1", serial: "1234" });
  expect(Buffer.from(plain.certificates[0]!.encoded).equals(anyId)).toBe(true);
  for (const bytes of [1, 16, 32]) {
    expect(readOcspRequest(requestOf({ extensions: [nonceOf(bytes)] })).nonce).toHaveLength(bytes);
  }
});

test.each<[string, Uint8Array]>([
  ["nothing", new Uint8Array(0)],
  ["no DER", randomBytes(100)],
  ["5,000 octets", requestOf({ entries: Array.from({ length: 120 }, () => sequence([anyId])) })],
  ["eleven entries", requestOf({ entries: Array.from({ length: 11 }, () => sequence([anyId])) })],
  ["no entry", requestOf({ entries: [] })],
  ["another version", requestOf({ version: integerFromNumber(1) })],
  ["bytes after its list", requestOf({ after: [octetString(Uint8Array.of(1))] })],
  ["bytes after it", Buffer.concat([requestOf(), Buffer.of(0)])],
  ["a nonce of no octets", requestOf({ extensions: [nonceOf(0)] })],
  ["a nonce of 33 octets", requestOf({ extensions: [nonceOf(33)] })],
  ["two nonces", requestOf({ extensions: [nonceOf(16), nonceOf(16)] })],
  ["an unknown critical extension", requestOf({ extensions: [critical] })],
  [
    "an unknown critical extension of its entry",
    requestOf({ entries: [sequence([anyId, contextConstructed(0, [sequence([critical])])])] }),
  ],
  ["an unknown hash", requestOf({ entries: [idWith("1.2.840.113549.2.5", 16)] })],
  ["a hash that is too short", requestOf({ entries: [idWith(oids.sha256, 20)] })],
  ["a serial of no octets", requestOf({ entries: [idWith(oids.sha1, 20, new Uint8Array(0))] })],
  ["a serial of 21 octets", requestOf({ entries: [idWith(oids.sha1, 20, new Uint8Array(21).fill(1))] })],
])("a request with %s is refused", (_, der) => {
  expect(() => readOcspRequest(der)).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
});

test("a request that is cut off anywhere is refused", () => {
  const whole = requestOf({ extensions: [nonceOf(16)] });
  for (let length = 0; length < whole.length; length += 1) {
    expect(() => readOcspRequest(whole.subarray(0, length)), `${length}`).toThrow();
  }
});

async function answer(authority: Authority, serial: string, status: OcspStatus): Promise<Uint8Array> {
  const signer = createSigner();
  const responder = await issueLeaf(authority, {
    subject: { commonName: "responder" },
    subjectAltNames: [],
    subjectPublicKeyInfo: signer.subjectPublicKeyInfo,
    extendedKeyUsage: ["OCSPSigning"],
    ocspNoCheck: true,
  });
  const issuer = {
    subject: authority.certificate.subject,
    subjectPublicKeyInfo: authority.signer.subjectPublicKeyInfo,
  };
  const certificateId = encodeOcspCertificateId("sha1", issuer, Buffer.from(serial, "hex"));
  const now = new Date();
  const data = encodeOcspResponseData({
    entries: [{ certificateId, status }],
    producedAt: now,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + day),
    responderPublicKeyInfo: signer.subjectPublicKeyInfo,
  });
  return assembleOcspResponse(data, signer, await signer.sign(data), responder.der);
}

test("openssl reads each status, and verifies the delegated responder", async ({ skip }) => {
  if (!hasOpenssl) skip(withoutOpenssl);
  using workspace = createWorkspace();
  const root = await createAuthority("Root");
  const leaf = await issueLeaf(root);
  workspace.write("root.pem", encodePem("CERTIFICATE", root.certificate.der));
  workspace.write("leaf.pem", encodePem("CERTIFICATE", leaf.der));
  const statuses: [OcspStatus, RegExp][] = [
    [{ status: "good" }, /leaf\.pem: good/],
    [{ status: "unknown" }, /leaf\.pem: unknown/],
    [
      { status: "revoked", revokedAt: new Date("2026-02-03T04:05:06Z"), reason: "keyCompromise" },
      /leaf\.pem: revoked[\s\S]*Reason: keyCompromise[\s\S]*Feb {2}3 04:05:06 2026/,
    ],
    [{ status: "revoked", revokedAt: new Date(), reason: "unspecified" }, /leaf\.pem: revoked/],
  ];
  for (const [status, expected] of statuses) {
    workspace.write("answer.der", await answer(root, leaf.serial, status));
    const files = ["-issuer", "root.pem", "-cert", "leaf.pem", "-CAfile", "root.pem"];
    const said = workspace.openssl("ocsp", "-respin", "answer.der", "-no_nonce", ...files).output;
    expect(said).toContain("Response verify OK");
    expect(said).toMatch(expected);
  }
});

test("what openssl asks is read as it is", ({ skip }) => {
  if (!hasOpenssl) skip(withoutOpenssl);
  using workspace = createWorkspace();
  workspace.openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "k",
    "-out",
    "ca.pem",
    "-subj",
    "/CN=x",
  );
  for (const hash of ["sha1", "sha256", "sha384", "sha512"] as const) {
    workspace.openssl("ocsp", `-${hash}`, "-issuer", "ca.pem", "-serial", "0x80ff", "-reqout", "request.der");
    const request = readOcspRequest(workspace.read("request.der"));
    expect(request.certificates[0]).toMatchObject({ hash, serial: "0080ff" });
    expect(request.nonce?.length).toBeGreaterThan(0);
  }
});

test("a refusal is five octets, and unsigned", () => {
  expect(Buffer.from(ocspRefusal("malformedRequest")).toString("hex")).toBe("30030a0101");
  expect(Buffer.from(ocspRefusal("unauthorized")).toString("hex")).toBe("30030a0106");
});
