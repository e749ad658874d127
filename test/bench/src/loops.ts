// The floors: what a path must do at the least, in a loop in one process, with no server around it.
import { createHash, sign } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  EncryptBatchRequestSchema,
  EncryptBatchResponseSchema,
  UseRequestSchema,
  UseResponseSchema,
} from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { encrypt, privateKey, version } from "./bare-cryptography.ts";
import { BareHsm } from "./bare-hsm.ts";
import { BareTable } from "./bare-table.ts";
import { messageBytes, streamItems, type WorkloadName, workloads } from "./workloads.ts";

/** What the loops need of an installation. */
export interface LoopSurroundings {
  pkcs11Module: string;
  /** A directory for a token of the loop's own. */
  directory: string;
  database: { host: string; port: number; user: string; password: string };
}

export interface Loop extends AsyncDisposable {
  once(): Promise<void> | void;
  /** How many operations that is. */
  operations: number;
  /** How many of it are under way at a time. */
  atATime: number;
}

type LoopMaker = (surroundings: LoopSurroundings) => Promise<Loop> | Loop;

/** For each workload whose peer is a loop. */
export const loops: Partial<Record<WorkloadName, LoopMaker>> = {
  "encrypt-batch": () => synchronous("encrypt-batch", encryptBatch()),
  "encrypt-stream": () => ({ ...synchronous("encrypt-stream", encryptStream()), operations: streamItems }),
  "sign-batch-software": () => synchronous("sign-batch-software", signAll),
  "sign-batch-hsm": async (surroundings) => {
    const hsm = await hsmOf(surroundings);
    const signing = await hsm.signingKey();
    return {
      once: async () => void (await signing(createHash("sha256").update(message).digest())),
      operations: 1,
      atATime: BareHsm.sessions,
      [Symbol.asyncDispose]: () => hsm.close(),
    };
  },
  "create-software": (surroundings) => creation(surroundings, (hsm) => hsm.makeAndWrapSecret()),
  "create-hsm": (surroundings) => creation(surroundings, (hsm) => hsm.makeAndWrapPair()),
};

/** A process initialises a module once. */
let hsm: Promise<BareHsm> | undefined;
function hsmOf(surroundings: LoopSurroundings): Promise<BareHsm> {
  hsm ??= BareHsm.open(surroundings);
  return hsm;
}

const message = new Uint8Array(messageBytes).fill(7);

function synchronous(workload: WorkloadName, once: () => void): Loop {
  const operations = workloads[workload].operationsPerCall;
  return { once, operations, atATime: 1, [Symbol.asyncDispose]: async () => undefined };
}

/** Decode, encrypt with a KeyObject, encode. */
function encryptBatch(): () => void {
  const request = workloads["encrypt-batch"].request("bench/any", 0);
  return () => {
    const { items } = fromBinary(EncryptBatchRequestSchema, request);
    const results = items.map((item) => ({ ciphertext: encrypt(item) }));
    toBinary(EncryptBatchResponseSchema, create(EncryptBatchResponseSchema, { results, version }));
  };
}

function encryptStream(): () => void {
  const one = workloads["encrypt-stream"].request("bench/any", 0);
  const request = Buffer.concat(Array.from({ length: streamItems }, () => one));
  return () => {
    const { operations } = fromBinary(UseRequestSchema, request);
    const results = operations.map(({ id, operation }) => {
      if (operation.case !== "encrypt") throw new Error("the workload sends something else");
      const value = { ciphertext: encrypt(operation.value), version };
      return { id, result: { case: "encrypt" as const, value } };
    });
    toBinary(UseResponseSchema, create(UseResponseSchema, { results }));
  };
}

function signAll(): void {
  for (let count = 0; count < workloads["sign-batch-software"].operationsPerCall; count += 1) {
    sign("sha256", message, privateKey);
  }
}

/** A key made and wrapped in the HSM, and a row of the same size inserted. */
async function creation(
  surroundings: LoopSurroundings,
  make: (hsm: BareHsm) => Promise<Buffer>,
): Promise<Loop> {
  const hsm = await hsmOf(surroundings);
  const table = await BareTable.open(surroundings.database);
  return {
    once: async () => table.insert(await make(hsm)),
    operations: 1,
    atATime: BareHsm.sessions,
    async [Symbol.asyncDispose]() {
      await table.close();
      await hsm.close();
    },
  };
}
