import { expect, test } from "vitest";
import {
  buildAuditRecord,
  canonicalJson,
  openConfirmation,
  openFromBus,
  opensLeaf,
  sealConfirmation,
  sealForBus,
} from "./index.ts";

const facts = {
  id: "0198c0de-0000-7000-8000-000000000001",
  time: new Date("2026-01-02T03:04:05.678Z"),
  service: "generator",
  method: "claviger.generator.v1.CryptographyService/Encrypt",
  permission: "keys.encrypt",
  resource: "payments/card-data",
  outcome: "allowed",
  traceId: "t",
  details: { version: 1 },
  personal: { actor: "spiffe://claviger.local/user/alice", certificateSerial: "0a" },
} as const;
const key = Buffer.alloc(32, 1);

test("the leaf names nobody, and what is beside it opens its commitment", () => {
  const record = buildAuditRecord(facts);
  expect(record.leaf).not.toContain("alice");
  expect(opensLeaf(record.leaf, record.personal, record.salt)).toBe(true);
  expect(opensLeaf(record.leaf, record.personal.replace("alice", "bob"), record.salt)).toBe(false);
  expect(opensLeaf(record.leaf, record.personal, Buffer.alloc(16))).toBe(false);
});

test("a record comes through the bus whole, and with one bit changed not at all", () => {
  const record = buildAuditRecord(facts);
  const message = sealForBus(record, "generator", key);
  expect(openFromBus(message, "generator", key)).toEqual(record);
  for (let at = 0; at < message.length; at += 7) {
    const changed = Buffer.from(message);
    changed[at] = changed[at]! ^ 1;
    expect(() => openFromBus(changed, "generator", key)).toThrow("authenticator");
  }
});

test("one service cannot speak for another, nor a record pass for a confirmation", () => {
  const message = sealForBus(buildAuditRecord(facts), "storage", key);
  expect(() => openFromBus(message, "storage", key)).toThrow("agree with itself");
  expect(() => openFromBus(message, "generator", key)).toThrow("authenticator");
  expect(() => openConfirmation(message, "storage", key)).toThrow("authenticator");
  expect(openConfirmation(sealConfirmation(["a"], "storage", key), "storage", key)).toEqual(["a"]);
});

test("canonical JSON does not depend on the order of keys", () => {
  expect(canonicalJson({ b: 1, a: { d: true, c: "x" } })).toBe('{"a":{"c":"x","d":true},"b":1}');
  expect(() => canonicalJson({ a: 0.5 })).toThrow("whole numbers");
});
