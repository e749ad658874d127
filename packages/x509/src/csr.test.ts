import { generateKeyPairSync } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCertificateSigningRequest as parse } from "./csr.ts";
import {
  bitString,
  boolean,
  derNull,
  ia5String,
  integerFromNumber,
  oid,
  printableString,
  sequence,
  set,
  tlv,
  utf8String,
} from "./der.ts";
import { extension } from "./extensions.ts";
import { encodeSubjectAltNames } from "./name-encoding.ts";
import { oids } from "./oids.ts";
import { encodePem } from "./pem.ts";
import { spkiOf } from "./test-support/authority.ts";
import {
  anyOctets,
  extensionRequest,
  keyPair,
  makeRequest,
  type RequestParts,
  requestKey,
  requestNaming,
  rsa,
  subjectOf,
} from "./test-support/hostile-csr.ts";
import { createWorkspace, hasOpenssl, opensslRequest, withoutOpenssl } from "./test-support/openssl.ts";

const names = extension(
  oids.subjectAltName,
  encodeSubjectAltNames([{ dns: "a.test" }, { uri: "spiffe://a/b" }]),
);

describe("a request made by openssl", () => {
  const kinds: [string, string[]][] = [
    ["ec-p256", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]],
    ["ec-p384", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"]],
    ["ec-p521", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-sha512"]],
    ["ed25519", ["-newkey", "ed25519"]],
    ["rsa-2048", ["-newkey", "rsa:2048"]],
    ["rsa-2048", ["-newkey", "rsa:2048", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]],
  ];
  test.for(kinds)("is read, %s with %j", ([keyType, args], { skip }) => {
    if (!hasOpenssl) skip(withoutOpenssl);
    using workspace = createWorkspace();
    const more = [
      "-subj",
      "/C=CH/O=Claviger/CN=payments",
      "-addext",
      "subjectAltName=DNS:A.test,IP:::1,URI:spiffe://a/b",
    ];
    const request = parse(
      opensslRequest(workspace, ...args, ...more, "-addext", "keyUsage=critical,digitalSignature"),
    );
    expect(request).toMatchObject({
      keyType,
      subject: { commonName: "payments", organization: "Claviger" },
      subjectAltNames: [{ dns: "a.test" }, { ip: "::1" }, { uri: "spiffe://a/b" }],
      ignoredSubjectAttributes: ["2.5.4.6"],
      ignoredExtensions: [oids.keyUsage],
    });
  });

  test("is refused when signed with SHA-1 or asking for a CA", ({ skip }) => {
    if (!hasOpenssl) skip(withoutOpenssl);
    using workspace = createWorkspace();
    const common = ["-newkey", "rsa:2048", "-subj", "/CN=a"];
    expect(() => parse(opensslRequest(workspace, ...common, "-sha1"))).toThrow(/hash/);
    const ca = ["-addext", "basicConstraints=CA:TRUE"];
    expect(() => parse(opensslRequest(workspace, ...common, ...ca))).toThrow(/CA certificate/);
  });
});

describe("a request", () => {
  test("is read from DER and PEM, with either label", () => {
    const der = makeRequest({ attributes: [extensionRequest(names)] });
    expect(parse(der).subjectAltNames).toEqual([{ dns: "a.test" }, { uri: "spiffe://a/b" }]);
    expect(parse(der).subjectPublicKeyInfo).toEqual(spkiOf(requestKey.publicKey));
    for (const label of ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"]) {
      expect(parse(Buffer.from(encodePem(label, der)))).toEqual(parse(der));
    }
  });

  test("may lack subject and names, and lists what has no effect", () => {
    expect(parse(makeRequest({ subject: sequence([]) })).subject).toEqual({});
    const unknown = extension("1.2.3.4", anyOctets);
    const challenge = sequence([oid("1.2.840.113549.1.9.7"), set([utf8String("x")])]);
    expect(parse(makeRequest({ attributes: [extensionRequest(unknown), challenge] }))).toMatchObject({
      ignoredExtensions: ["1.2.3.4"],
      ignoredAttributes: ["1.2.840.113549.1.9.7"],
    });
  });

  test("is refused at every truncation, and with every bit of it turned", () => {
    const der = makeRequest({ attributes: [extensionRequest(names)] });
    const pem = Buffer.from(encodePem("CERTIFICATE REQUEST", der));
    for (let length = 0; length < der.length; length++) {
      expect(() => parse(der.subarray(0, length)), `${length} bytes of DER`).toThrow(DomainError);
    }
    for (let length = 0; length < pem.length - 1; length++) {
      expect(() => parse(pem.subarray(0, length)), `${length} bytes of PEM`).toThrow(DomainError);
    }
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(7), (position, bit) => {
        const turned = Uint8Array.from(der);
        turned[position]! ^= 1 << bit;
        expect(() => parse(turned)).toThrow(DomainError);
      }),
      { numRuns: 400 },
    );
  });
});

describe("a hostile request is refused", () => {
  const ext = (...extensions: Uint8Array[]): RequestParts => ({
    attributes: [extensionRequest(...extensions)],
  });
  const bc = (...parts: Uint8Array[]) => extension(oids.basicConstraints, sequence(parts));
  const named = (...attributes: [string, Uint8Array][]): RequestParts => ({
    subject: subjectOf(...attributes),
  });
  const cn = oids.commonName;
  const cases: [string, RequestParts, RegExp][] = [
    ["for an unknown version", { version: integerFromNumber(1) }, /version is unknown/],
    ["for extensions named twice", ext(names, names), /2\.5\.29\.17 twice/],
    [
      "for two lists of extensions",
      { attributes: [extensionRequest(names), extensionRequest(names)] },
      /two attributes/,
    ],
    [
      "for one attribute with two lists",
      { attributes: [sequence([oid(oids.extensionRequest), set([sequence([names]), sequence([bc()])])])] },
      /exactly one value/,
    ],
    ["for asking to be a CA", ext(bc(boolean(true))), /CA certificate/],
    [
      "for malformed basic constraints",
      ext(extension(oids.basicConstraints, anyOctets)),
      /basic constraints/,
    ],
    [
      "for an unknown critical extension",
      ext(extension("1.2.3.4", anyOctets, true)),
      /1\.2\.3\.4 as critical/,
    ],
    [
      "for names that cannot be read",
      ext(extension(oids.subjectAltName, Uint8Array.of(0x30, 5, 1))),
      /alternative name/,
    ],
    ["for an empty list of names", ext(extension(oids.subjectAltName, sequence([]))), /empty list/],
    ["for NUL in the common name", named([cn, utf8String("a\0b")]), /NUL/],
    [
      "for a line feed in another attribute",
      named(["2.5.4.6", printableString("CH")], ["2.5.4.11", utf8String("a\nb")]),
      /2\.5\.4\.11/,
    ],
    ["for an oversized common name", named([cn, utf8String("a".repeat(65))]), /longer than 64/],
    [
      "for two common names",
      named([cn, utf8String("a")], [cn, utf8String("b")]),
      /more than one common name/,
    ],
    ["for invalid UTF-8", named([cn, tlv(0x0c, Uint8Array.of(0xc0, 0x80))]), /UTF-8/],
    ["for a BMPString", named([cn, tlv(0x1e, Uint8Array.of(0, 0x61))]), /UTF-8 or ASCII/],
    ["for an empty part of the name", { subject: sequence([set([])]) }, /empty part/],
    ["for something after the attributes", { extra: [ia5String("a")] }, /left over/],
    [
      "for a third member of an attribute",
      { attributes: [sequence([oid("1.2.3"), set([]), derNull()])] },
      /left over/,
    ],
    [
      "for a third member of the basic constraints",
      ext(bc(boolean(false), integerFromNumber(0), derNull())),
      /left over/,
    ],
    ["for a CA flag after the path length", ext(bc(integerFromNumber(0), boolean(true))), /left over/],
    ["for an extension with two values", ext(sequence([oid("1.2.3"), anyOctets, anyOctets])), /left over/],
    ["for a foreign key", { privateKey: keyPair("P-256").privateKey }, /not true/],
    ["for ECDSA with SHA-1", { algorithm: sequence([oid("1.2.840.10045.4.1")]) }, /hash/],
    ["for an unknown algorithm", { algorithm: sequence([oid("1.2.3")]) }, /not accepted/],
    ["for parameters of ECDSA", { algorithm: sequence([oid(oids.ecdsaWithSha256), derNull()]) }, /left over/],
    ["for an algorithm of another key type", { algorithm: sequence([oid(oids.ed25519)]) }, /belong/],
    ["for secp256k1", keyPair("secp256k1"), /curve that is not certified/],
    ["for P-224", keyPair("P-224"), /curve that is not certified/],
    ["for an RSA key of 1024 bits", rsa(1024), /1024 bits/],
    ["for the exponent 3", rsa(2048, 3), /exponent/],
    ["for an X25519 key", { spki: spkiOf(generateKeyPairSync("x25519").publicKey) }, /not certified/],
  ];
  test.each(cases)("%s", (_, parts, problem) => {
    const request = makeRequest(parts);
    expect(() => parse(request)).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
    expect(() => parse(request)).toThrow(problem);
  });

  test("for explicit curve parameters, compressed points and points off the curve", () => {
    const explicit = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" });
    const spki = spkiOf(explicit.publicKey);
    expect(() => parse(makeRequest({ spki, privateKey: explicit.privateKey }))).toThrow(
      /instead of naming it/,
    );
    const withPoint = (point: Uint8Array) =>
      sequence([sequence([oid(oids.ecPublicKey), oid(oids.p256)]), bitString(point)]);
    const off = new Uint8Array(65).fill(4);
    expect(() => parse(makeRequest({ spki: withPoint(off) }))).toThrow(/cannot be loaded/);
    expect(() => parse(makeRequest({ spki: withPoint(off.fill(2, 0, 1).subarray(0, 33)) }))).toThrow(
      /uncompressed/,
    );
  });

  test("for a PSS signature whose hash is SHA-1 by default", () => {
    const { spki } = rsa(2048);
    const algorithm = sequence([oid(oids.rsassaPss), sequence([])]);
    expect(() => parse(makeRequest({ spki, algorithm }))).toThrow(/hash/);
  });

  test("for names that are not what they seem", () => {
    expect(() => parse(requestNaming([0x82, "a.test\0.evil"]))).toThrow(/printable/);
    expect(() => parse(requestNaming([0x86, "/relative"]))).toThrow(/absolute/);
    expect(() => parse(requestNaming([0x87, "abc"]))).toThrow(/octets/);
    expect(() => parse(requestNaming([0x88, "\x2a"]))).toThrow(/kind/);
    expect(() => parse(requestNaming([0x82, "*.*.test"]))).toThrow(/wildcard|label/);
    expect(() => parse(requestNaming([0x82, "a.test."]))).toThrow(/dot/);
    expect(() => parse(requestNaming([0x82, "k\xe4se.test"]))).toThrow(/ASCII/);
    expect(() => parse(requestNaming([0x82, `${"a".repeat(64)}.test`]))).toThrow(/63/);
    expect(() => parse(requestNaming([0x81, "nobody"]))).toThrow(/e-mail/);
    expect(() => parse(requestNaming([0x86, "http://a.test/\r\nx"]))).toThrow(/printable|URI/);
    expect(() => parse(requestNaming([0x87, "\x7f\0\0\x01\0"]))).toThrow(/octets/);
    const many = Array.from({ length: 101 }, (_, index): [number, string] => [0x82, `n${index}.test`]);
    expect(() => parse(requestNaming(...many))).toThrow(/more than 100/);
  });

  test("for bytes after it, for its size, and for BER", () => {
    const der = makeRequest();
    expect(() => parse(Uint8Array.from([...der, 0]))).toThrow(/left over/);
    expect(() => parse(new Uint8Array(16 * 1024 + 1))).toThrow(/larger than 16384/);
    const ber = Uint8Array.from([0x30, 0x80, ...der.subarray(3), 0, 0]);
    expect(() => parse(ber)).toThrow(/indefinite/);
    expect(() => parse(Buffer.from(encodePem("CERTIFICATE", der)))).toThrow(/is a CERTIFICATE/);
  });
});
