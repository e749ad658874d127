import type { MessageInitShape } from "@bufbuild/protobuf";
import type { UseRequestSchema } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

type UseRequest = MessageInitShape<typeof UseRequestSchema>;

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
  const operations: UseRequest[] = [aes, foreign].map((name, at) => ({
    id: BigInt(at),
    operation: { case: "encrypt", value: { name, plaintext } },
  }));
  const { results } = await user.cryptography.useBatch({ operations });
  expect(results.map(({ result }) => result.case)).toEqual(["encrypt", "error"]);
  expect(results[1]!.result.value).toMatchObject({ kind: "denied" });
  const streamed = [];
  for await (const { id, result } of user.cryptography.use(operations)) streamed.push([id, result.case]);
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
  async function* requests(): AsyncGenerator<UseRequest> {
    for (; sent < count; sent += 1) {
      ahead = Math.max(ahead, sent - answered);
      yield {
        id: BigInt(sent),
        operation: { case: "encrypt", value: { name: aes, plaintext: Buffer.alloc(2000) } },
      };
    }
  }
  const ids = new Set<bigint>();
  for await (const { id, result } of cryptography.use(requests())) {
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
  async function* endless(): AsyncGenerator<UseRequest> {
    for (let id = 0n; ; id += 1n)
      yield { id, operation: { case: "encrypt", value: { name: aes, plaintext } } };
  }
  let answers = 0;
  for await (const _ of cryptography.use(endless(), { signal: abort.signal })) {
    answers += 1;
    if (answers === 100) abort.abort();
  }
  expect(answers).toBeGreaterThanOrEqual(100);
  expect((await cryptography.encrypt({ name: aes, plaintext })).version).toBe(1);
});
