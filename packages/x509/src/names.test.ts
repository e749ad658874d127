import { BlockList, isIPv6 } from "node:net";
import { DomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contextPrimitive, sequence } from "./der.ts";
import { ipFromBytes, ipToBytes } from "./ip-address.ts";
import { decodeSubjectAltNames, describeName, encodeName, encodeSubjectAltNames } from "./name-encoding.ts";
import { checkDnsName, checkEmail, checkSubjectAltNames, checkUri, sameSubjectAltName } from "./names.ts";

describe("DNS names", () => {
  test("are lower-cased, and a wildcard may be the whole leftmost label", () => {
    expect(checkDnsName("API.Example.COM")).toBe("api.example.com");
    expect(checkDnsName("*.example.com")).toBe("*.example.com");
    expect(checkDnsName("localhost")).toBe("localhost");
    expect(checkDnsName("xn--bcher-kva.example")).toBe("xn--bcher-kva.example");
    expect(checkDnsName(`${"a".repeat(63)}.test`)).toHaveLength(68);
  });

  test("are refused in every other form", () => {
    const bad = [
      "",
      "*",
      "a.",
      ".a",
      "a..b",
      "-a.b",
      "a-.b",
      "a_b.c",
      "a b",
      "a\0.b",
      "a.b\n",
      "bücher.de",
      "ｅ.de",
    ];
    bad.push("w*.a.b", "a.*.b", "*.*.b", "1.2.3.4", "a/b", `${"a".repeat(64)}.b`, `${"abc.".repeat(63)}ab`);
    for (const name of bad) expect(() => checkDnsName(name), JSON.stringify(name)).toThrow(DomainError);
  });
});

describe("IP names", () => {
  test("have the octets that node:net sees, and one canonical text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const canonical = ipFromBytes(ipToBytes(text));
        const family = isIPv6(text) ? "ipv6" : "ipv4";
        const list = new BlockList();
        list.addAddress(text, family);
        expect(list.check(canonical, family)).toBe(true);
        expect(ipToBytes(canonical)).toEqual(ipToBytes(text));
      }),
    );
    expect(ipFromBytes(ipToBytes("2001:DB8:0:0:1:0:0:1"))).toBe("2001:db8::1:0:0:1");
    expect(Buffer.from(ipToBytes("::ffff:1.2.3.4")).toString("hex")).toBe("00000000000000000000ffff01020304");
    expect(ipToBytes("::")).toEqual(new Uint8Array(16));
  });

  test("are refused with zone, prefix, port or odd digits", () => {
    for (const text of [
      "",
      "1.2.3",
      "1.2.3.256",
      "01.2.3.4",
      "1.2.3.4/24",
      "fe80::1%eth0",
      "[::1]",
      "::1::",
    ]) {
      expect(() => ipToBytes(text), text).toThrow(DomainError);
    }
    expect(() => ipFromBytes(new Uint8Array(5))).toThrow(DomainError);
  });
});

test("URIs must be absolute, ASCII and bounded, and are kept as written", () => {
  expect(checkUri("spiffe://Example.test/workload/a%20b")).toBe("spiffe://Example.test/workload/a%20b");
  const bad = [
    "",
    "/a",
    "a",
    "http:",
    "http://",
    "http://a b",
    "http://a\0",
    "http://ä",
    "x:%zz",
    `x:${"a".repeat(2047)}`,
  ];
  for (const uri of bad) expect(() => checkUri(uri), JSON.stringify(uri)).toThrow(DomainError);
});

test("e-mail addresses must be atoms at a domain", () => {
  expect(checkEmail("A.b+c@Example.COM")).toBe("A.b+c@example.com");
  const bad = [
    "",
    "a",
    "@b",
    "a@",
    "a@b@c",
    "a b@c",
    ".a@b",
    "a..b@c",
    "a@*.b",
    "ä@b.c",
    "a\0@b.c",
    '"a"@b.c',
  ];
  for (const email of [...bad, `${"a".repeat(65)}@b.c`]) {
    expect(() => checkEmail(email), JSON.stringify(email)).toThrow(DomainError);
  }
});

test("subject alternative names are canonical, each once, and at most 100", () => {
  expect(checkSubjectAltNames([{ dns: "A.b" }, { dns: "a.B" }, { ip: "0:0::1" }])).toEqual([
    { dns: "a.b" },
    { ip: "::1" },
  ]);
  expect(sameSubjectAltName({ dns: "A.b" }, { dns: "a.b" })).toBe(true);
  expect(sameSubjectAltName({ dns: "a.b" }, { uri: "a:b" })).toBe(false);
  const many = Array.from({ length: 101 }, (_, index) => ({ dns: `n${index}.test` }));
  expect(() => checkSubjectAltNames(many)).toThrow(/more than 100/);
});

test("subject alternative names survive DER, and kinds that are not used are refused", () => {
  const names = [
    { dns: "*.a.b" },
    { ip: "10.0.0.1" },
    { ip: "::1" },
    { uri: "spiffe://a/b" },
    { email: "a@b.c" },
  ];
  expect(decodeSubjectAltNames(encodeSubjectAltNames(names))).toEqual(names);
  const decode = (tag: number, text: string) => () =>
    decodeSubjectAltNames(sequence([contextPrimitive(tag, Buffer.from(text, "latin1"))]));
  expect(decode(8, "\x2a")).toThrow(/kind/);
  expect(decode(2, "a\xe9.b")).toThrow(/ASCII/);
  expect(decode(7, "abc")).toThrow(/octets/);
  expect(() => decodeSubjectAltNames(sequence([]))).toThrow(/empty/);
});

test("a distinguished name refuses empty, long, control and reordering text", () => {
  for (const text of ["", "a".repeat(65), "a\0b", "a\nb", "a\u202eb", "\ud800"]) {
    expect(() => encodeName({ commonName: text }), JSON.stringify(text)).toThrow(DomainError);
  }
  expect(describeName(encodeName({ commonName: "Büro", organization: "Ö" }))).toBe("O=Ö, CN=Büro");
  expect(describeName(encodeName({}))).toBe("(empty name)");
});
