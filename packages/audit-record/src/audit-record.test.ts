import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import {
  buildAuditRecord,
  canonicalJson,
  openBundle,
  openConfirmation,
  opensLeaf,
  sealBundle,
  sealConfirmation,
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

const records = (service: string, count: number) =>
  Array.from({ length: count }, (_, at) =>
    buildAuditRecord({
      ...facts,
      service,
      id: `0198c0de-0000-7000-8000-${String(at).padStart(12, "0")}`,
      resource: `späte/größe-${at}`,
    }),
  );

test("a bundle comes through the bus whole, and with one bit changed not at all", () => {
  const sent = records("generator", 3);
  const message = sealBundle(sent, "generator", key);
  expect(openBundle(message, "generator", key)).toEqual(sent);
  for (let at = 0; at < message.length; at += 7) {
    const changed = Buffer.from(message);
    changed[at] = changed[at]! ^ 1;
    expect(() => openBundle(changed, "generator", key)).toThrow("authenticator");
  }
});

test("a bundle is refused where it is cut off, empty or too long, though its authenticator fits", () => {
  const whole = sealBundle(records("generator", 2), "generator", key).subarray(32);
  const authentic = (body: Buffer): Buffer => {
    const mac = createHmac("sha256", key)
      .update("claviger/audit-bundle/v1\0generator\0")
      .update(body)
      .digest();
    return Buffer.concat([mac, body]);
  };
  expect(openBundle(authentic(whole), "generator", key)).toHaveLength(2);
  const giant = Buffer.from(whole);
  giant.writeUInt32BE(0xffffffff, 0);
  for (const body of [Buffer.alloc(0), whole.subarray(0, -1), whole.subarray(0, 3), giant]) {
    expect(() => openBundle(authentic(body), "generator", key)).toThrow("agree with itself");
  }
  const tooMany = sealBundle(records("generator", 129), "generator", key);
  expect(() => openBundle(tooMany, "generator", key)).toThrow("agree with itself");
});

test("one service cannot speak for another, nor a bundle pass for a confirmation", () => {
  const message = sealBundle(records("generator", 1), "storage", key);
  expect(() => openBundle(message, "storage", key)).toThrow("agree with itself");
  expect(() => openBundle(message, "generator", key)).toThrow("authenticator");
  expect(() => openConfirmation(message, "storage", key)).toThrow("authenticator");
  expect(openConfirmation(sealConfirmation(["a"], "storage", key), "storage", key)).toEqual(["a"]);
});

test("canonical JSON does not depend on the order of keys", () => {
  expect(canonicalJson({ b: 1, a: { d: true, c: "x" } })).toBe('{"a":{"c":"x","d":true},"b":1}');
  expect(() => canonicalJson({ a: 0.5 })).toThrow("whole numbers");
});

test("leaf and what is beside it are canonical, whatever the order of the details", () => {
  const details = { zebra: 1, ähre: "ü\n", Alpha: true, "10": 2, "9": 3 };
  const { leaf, personal } = buildAuditRecord({ ...facts, errorKind: "denied", details });
  expect(leaf).toBe(canonicalJson(JSON.parse(leaf)));
  expect(JSON.parse(leaf)).toMatchObject({ details, errorKind: "denied" });
  expect(personal).toBe(canonicalJson(JSON.parse(personal)));
});
