import { create, toBinary } from "@bufbuild/protobuf";
import type { AuditRecord } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import { CryptographyService, EncryptRequestSchema } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { expect, test } from "vitest";
import { type IncomingCall, type PipelineOptions, passPipeline } from "./pipeline.ts";
import type { PolicyRow } from "./policy.ts";

const alice = parseIdentity("spiffe://claviger.test/user/alice");
const row: PolicyRow<{ name: string }> = {
  callers: "anyone",
  permission: "keys.encrypt",
  resource: (request) => request.name,
};

function house(overrides: Partial<PipelineOptions<string>> = {}) {
  const steps: string[] = [];
  const records: AuditRecord[] = [];
  const options: PipelineOptions<string> = {
    service: "generator",
    now: () => new Date(0),
    onInternalError: () => steps.push("logged"),
    authorize: async ({ resource }) => {
      steps.push(`decided on ${resource}`);
      return { allowed: true, reason: "" };
    },
    auditedWork: {
      async run(work, record) {
        const result = await work("unit");
        records.push(record());
        steps.push("recorded");
        return result;
      },
      async keep(record) {
        records.push(record);
        steps.push("refusal recorded");
      },
      runUnrecorded: (work) => work("unit"),
    },
    ...overrides,
  };
  return { options, steps, records };
}

function call(overrides: Partial<IncomingCall> = {}): IncomingCall {
  return {
    method: CryptographyService.method.encrypt,
    request: toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { name: "pay/card" })),
    authenticate: () => ({ identity: alice, certificateSerial: "0a" }),
    traceId: `${"0".repeat(31)}1`,
    signal: new AbortController().signal,
    ...overrides,
  };
}

const leafOf = (record: AuditRecord | undefined) =>
  JSON.parse(record?.leaf ?? "{}") as Record<string, unknown>;

test("decision, then handler, then record, then answer", async () => {
  const { options, records, steps } = house();
  const answer = await passPipeline(options, call(), row, async (_, { note, unit }) => {
    steps.push(`handled in ${unit}`);
    note({ version: 1 });
    return "answer";
  });
  expect(answer).toBe("answer");
  expect(steps).toEqual(["decided on pay/card", "handled in unit", "recorded"]);
  expect(leafOf(records[0])).toMatchObject({
    outcome: "allowed",
    resource: "pay/card",
    details: { version: 1 },
  });
});

test("a refused caller never reaches the handler, and the refusal is recorded before it is answered", async () => {
  const { options, records, steps } = house({
    authorize: async () => ({ allowed: false, reason: "no role permits that" }),
  });
  const handler = async () => steps.push("handled");
  await expect(passPipeline(options, call(), row, handler)).rejects.toMatchObject({ kind: "denied" });
  expect(steps).toEqual(["refusal recorded"]);
  expect(leafOf(records[0])).toMatchObject({ outcome: "refused", errorKind: "denied" });
});

test("who has no identity is refused before anything of the request is read", async () => {
  const { options, steps } = house();
  const stranger = call({
    request: Buffer.from("ff", "hex"),
    authenticate: () => {
      throw new DomainError("unauthenticated", "nobody");
    },
  });
  await expect(passPipeline(options, stranger, row, async () => "x")).rejects.toMatchObject({
    kind: "unauthenticated",
  });
  expect(steps).toEqual(["refusal recorded"]);
});

test("a service-only method refuses users, and other services", async () => {
  const { options, steps } = house();
  const only: PolicyRow<unknown> = { callers: ["generator"] };
  const asService = (name: string) =>
    call({
      authenticate: () => ({
        identity: parseIdentity(`spiffe://claviger.test/claviger/${name}`),
        certificateSerial: "0b",
      }),
    });
  const asWorkload = call({
    authenticate: () => ({
      identity: parseIdentity("spiffe://claviger.test/workload/generator"),
      certificateSerial: "0c",
    }),
  });
  for (const refused of [call(), asWorkload, asService("rotation")]) {
    await expect(passPipeline(options, refused, only, async () => "x")).rejects.toMatchObject({
      kind: "denied",
    });
  }
  expect(await passPipeline(options, asService("generator"), only, async () => "x")).toBe("x");
  expect(steps.filter((step) => step === "refusal recorded").length).toBe(3);
});

test("where the record cannot be kept, the operation is refused", async () => {
  const unavailable = async (): Promise<never> => {
    throw new DomainError("unavailable", "the disk is full");
  };
  const { options } = house({
    auditedWork: { run: unavailable, keep: unavailable, runUnrecorded: unavailable },
  });
  await expect(passPipeline(options, call(), row, async () => "x")).rejects.toMatchObject({
    kind: "unavailable",
  });
});

test("a bug reaches the caller as internal, without its text, and the log with it", async () => {
  const { options, records, steps } = house();
  const broken = passPipeline(options, call(), row, async () => {
    throw new TypeError("secret detail");
  });
  await expect(broken).rejects.toMatchObject({ kind: "internal", message: "an internal error" });
  expect(steps).toContain("logged");
  expect(JSON.stringify(records)).not.toContain("secret detail");
});

test("a malformed request is the caller's error, and a long or odd name does not reach the log whole", async () => {
  const { options, records } = house();
  const malformed = call({ request: Buffer.from("0aff", "hex") });
  await expect(passPipeline(options, malformed, row, async () => "x")).rejects.toMatchObject({
    kind: "invalid-argument",
  });
  const name = `pay/\u0000\n${"x".repeat(5000)}`;
  const long = call({ request: toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { name })) });
  await passPipeline(options, long, row, async () => "x");
  const resource = String(leafOf(records.at(-1)).resource);
  expect(resource.length).toBeLessThan(600);
  expect(resource).not.toMatch(/\p{Cc}/u);
});
