import { expect, test } from "vitest";
import { parseRequirements, requirementsText, shortfalls } from "./authentication-floor.ts";

const strong = {
  keyType: "ec",
  keyBits: 256,
  signatureAlgorithm: "ecdsa-with-SHA256",
  lifetimeHours: 720,
  tlsVersion: "TLSv1.3",
  keyExchange: "X25519MLKEM768",
};
const below = (text: string, change: object = {}) =>
  shortfalls(parseRequirements(text), { ...strong, ...change });

test.each([
  ["rsa>=3072", { keyType: "rsa", keyBits: 2048 }, "RSA of 2048 bits"],
  ["ec>=384", {}, "EC of 256 bits"],
  ["signature>=256", { signatureAlgorithm: "sha1WithRSAEncryption" }, "sha1WithRSAEncryption"],
  ["signature>=384", {}, "ecdsa-with-SHA256"],
  ["signature>=256", { signatureAlgorithm: "" }, "nothing known"],
  ["lifetime<=29d", {}, "for 30 days"],
  ["tls>=1.3", { tlsVersion: "TLSv1.2" }, "TLSv1.2"],
  ["key-exchange=post-quantum", { keyExchange: "X25519" }, "X25519"],
  ["key-exchange=X25519+P-256", {}, "X25519MLKEM768"],
  ["key-exchange=post-quantum", { keyExchange: "" }, "not known"],
])("%s is not met by %o", (text, change, why) => {
  expect(below(text, change)).toEqual([expect.stringContaining(why)]);
});

test.each([
  ["rsa>=3072, ec>=256, signature>=256, lifetime<=30d, tls>=1.3, key-exchange=post-quantum", {}],
  ["rsa>=3072", { keyType: "ed25519", keyBits: 0 }],
  ["signature>=512", { signatureAlgorithm: "ED25519" }],
  ["signature>=512", { signatureAlgorithm: "ML-DSA-65" }],
  ["tls>=1.2", {}],
])("%s is met by %o", (text, change) => {
  expect(below(text, change)).toEqual([]);
});

test("where nothing is known of a connection no floor is met", () => {
  expect(shortfalls(parseRequirements("tls>=1.2"), undefined)).toHaveLength(1);
});

test.each([
  "",
  ",",
  "rsa>=x",
  "rsa<=2048",
  "rsa>=99999999",
  "magic=1",
  "lifetime<=30",
  "key-exchange=",
  "tls>=1.4",
  "a".repeat(600),
])("%s is no floor", (text) => {
  expect(() => parseRequirements(text)).toThrow("the floor is refused");
});

test("a floor is kept as one would write it", () => {
  expect(requirementsText(parseRequirements(" rsa>=3072,key-exchange=post-quantum "))).toBe(
    "rsa>=3072, key-exchange=post-quantum",
  );
});
