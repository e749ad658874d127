import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OperationSchema } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

type Operation = MessageInitShape<typeof OperationSchema>;

const house = useInstallation();
const { cryptography, keyGeneration, keyrings } = house.claviger;
const ring = unique("combined");
const [aes, ec, foreign] = [`${ring}/aes`, `${ring}/ec`, `${unique("foreign")}/k`];
const plaintext = Buffer.from("one of many");

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: aes, algorithm: "aes-256-gcm" });
  await keyGeneration.createKey({ name: ec, algorithm: "ecdsa-p256", protection: "hsm" });
  await keyrings.createKeyring({ name: foreign.split("/")[0]! });
  await keyGeneration.createKey({ name: foreign, algorithm: "aes-256-gcm" });
});

test("a batch of operations of every kind answers each by itself, in their order", async () => {
  const { results } = await cryptography.useBatch({
    operations: [
      { id: 7n, operation: { case: "encrypt", value: { name: aes, plaintext } } },
      { id: 8n, operation: { case: "sign", value: { name: ec, message: plaintext } } },
      { id: 9n, operation: { case: "mac", value: { name: aes, message: plaintext } } },
      { id: 10n, operation: { case: "generateRandom", value: { sizeBytes: 5 } } },
      { id: 11n, operation: { case: undefined } },
    ],
  });
  expect(results.map(({ id, result }) => [id, result.case])).toEqual([
    [7n, "encrypt"],
    [8n, "sign"],
    [9n, "error"],
    [10n, "generateRandom"],
    [11n, "error"],
  ]);
  for (const operations of [[], Array.from({ length: 1001 }, () => ({ id: 1n }))]) {
    expect((await refusalOf(cryptography.useBatch({ operations }))).kind).toBe("invalid-argument");
  }
});

test("each operation inside is decided about by itself: a batch opens no key that its caller may not use", async () => {
  const user = await house.enrol(unique("user"), "user", ring);
  const operations: Operation[] = [aes, foreign].map((name, at) => ({
    id: BigInt(at),
    operation: { case: "encrypt", value: { name, plaintext } },
  }));
  const { results } = await user.cryptography.useBatch({ operations });
  expect(results.map(({ result }) => result.case)).toEqual(["encrypt", "error"]);
  expect(results[1]!.result.value).toMatchObject({ kind: "denied" });
  const streamed = [];
  for await (const { id, result } of user.pipeline(operations)) streamed.push([id, result.case]);
  expect(streamed.sort()).toEqual([
    [0n, "encrypt"],
    [1n, "error"],
  ]);
});

test("a stream of thousands is answered whole, while no more are under way than its bound", async () => {
  const count = 3000;
  let sent = 0;
  let answered = 0;
  let ahead = 0;
  async function* requests(): AsyncGenerator<Operation> {
    for (; sent < count; sent += 1) {
      ahead = Math.max(ahead, sent - answered);
      yield {
        id: BigInt(sent),
        operation: { case: "encrypt", value: { name: aes, plaintext: Buffer.alloc(2000) } },
      };
    }
  }
  const ids = new Set<bigint>();
  for await (const { id, result } of house.claviger.pipeline(requests())) {
    expect(result.case).toBe("encrypt");
    ids.add(id);
    answered += 1;
  }
  expect(ids.size).toBe(count);
  // The server's bound and what lies in the buffers between; without back-pressure it would be all of them.
  expect(ahead).toBeLessThan(count);
});

test("a stream whose caller goes away ends, and the service goes on", async () => {
  const abort = new AbortController();
  async function* endless(): AsyncGenerator<Operation> {
    for (let id = 0n; ; id += 1n)
      yield { id, operation: { case: "encrypt", value: { name: aes, plaintext } } };
  }
  let answers = 0;
  for await (const _ of house.claviger.pipeline(endless(), { signal: abort.signal })) {
    answers += 1;
    if (answers === 100) abort.abort();
  }
  expect(answers).toBeGreaterThanOrEqual(100);
  expect((await cryptography.encrypt({ name: aes, plaintext })).version).toBe(1);
});

test("a message of the stream may carry one operation, or many, or more than may be under way", async () => {
  const encrypt = (id: number): Operation => ({
    id: BigInt(id),
    operation: { case: "encrypt", value: { name: aes, plaintext } },
  });
  const sizes = [1, 2, 999, 1, 300];
  const requests = sizes.map((size, at) => ({
    operations: Array.from({ length: size }, (_, of) => encrypt(at * 1000 + of)),
  }));
  const ids = new Set<bigint>();
  for await (const { results } of cryptography.use(requests)) {
    for (const { id, result } of results) {
      expect(result.case).toBe("encrypt");
      ids.add(id);
    }
  }
  expect(ids.size).toBe(1303);
});

test("answers that would not fit in one message come in several", async () => {
  const operations = Array.from({ length: 7 }, (_, id) => ({
    id: BigInt(id),
    operation: { case: "encrypt" as const, value: { name: aes, plaintext: Buffer.alloc(500_000) } },
  }));
  const counts = [];
  for await (const { results } of cryptography.use([{ operations }])) counts.push(results.length);
  expect(counts.length).toBeGreaterThan(2);
  expect(counts.reduce((sum, count) => sum + count)).toBe(7);
});

test.for([
  { what: "no operation", operations: [] },
  { what: "too many operations", operations: Array.from({ length: 1001 }, () => ({ id: 1n })) },
])("a message with $what ends the stream, and says why", async ({ operations }) => {
  const all = async () => {
    for await (const _ of cryptography.use([{ operations }])) {
      // Nothing comes.
    }
  };
  const { kind, message } = await refusalOf(all());
  expect(kind).toBe("invalid-argument");
  expect(message).toContain("1 to 1000");
});
