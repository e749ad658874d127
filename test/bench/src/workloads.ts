import { create, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  CryptographyService,
  EncryptBatchRequestSchema,
  EncryptBatchResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  SignBatchRequestSchema,
  SignBatchResponseSchema,
  UseRequestSchema,
  UseResponseSchema,
} from "@claviger/proto/generator/v1/cryptography_pb.ts";
import {
  CreateKeyRequestSchema,
  CreateKeyResponseSchema,
  KeyGenerationService,
} from "@claviger/proto/generator/v1/key_generation_pb.ts";

export const messageBytes = 256;
export const batchItems = 100;
/** Of a stream, at the most in one message: as the client packs them. */
export const streamItems = 64;
/** Header of 37 bytes, ciphertext, tag of 16: the layout of docs/formats.md. */
const ciphertextBytes = 37 + messageBytes + 16;

export const workloadNames = [
  "encrypt",
  "encrypt-batch",
  "encrypt-stream",
  "sign-batch-software",
  "sign-batch-hsm",
  "create-software",
  "create-hsm",
] as const;
export type WorkloadName = (typeof workloadNames)[number];

export interface Workload {
  title: string;
  /** The key's name on Claviger's side; the peer has one key of each kind. */
  key: string;
  algorithm: string;
  protection: "software" | "hsm";
  method: DescMethod;
  operationsPerCall: number;
  callsInFlight: number;
  /** What it is measured beside: a bare grpc-js server, or a loop in one process. */
  peer: "server" | "loop";
  /** Calls on a stream of each connection, rather than each on its own. */
  streamed: boolean;
  /** Of the measured time that the command line gives; the extra columns need less precision. */
  share: number;
  /** The encoded request. `number` counts the calls of the whole run, where each has to be another. */
  request(key: string, number: number): Uint8Array;
  /** Whether all requests are the same, so that encoding them is not part of the load. */
  constant: boolean;
  /** @throws where the answer is not what was asked for */
  check(answer: Uint8Array): void;
}

const plaintext = new Uint8Array(messageBytes).fill(7);
const alone = { operationsPerCall: 1, callsInFlight: 64, streamed: false, constant: true, share: 1 };
const batched = { ...alone, operationsPerCall: batchItems, callsInFlight: 8 };
const signed = {
  ...batched,
  algorithm: "ecdsa-p256",
  method: CryptographyService.method.signBatch,
  share: 0.5,
  request: (name: string) =>
    toBinary(
      SignBatchRequestSchema,
      create(SignBatchRequestSchema, { name, messages: Array.from({ length: batchItems }, () => plaintext) }),
    ),
  check(answer: Uint8Array) {
    const { results } = fromBinary(SignBatchResponseSchema, answer);
    requireAll(results, (result) => result.signature.length >= 64);
  },
};

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  encrypt: {
    title: `encrypt, ${messageBytes} B, unary`,
    key: "bench/aes-software",
    algorithm: "aes-256-gcm",
    protection: "software",
    ...alone,
    method: CryptographyService.method.encrypt,
    peer: "server",
    request: (name) => toBinary(EncryptRequestSchema, create(EncryptRequestSchema, { name, plaintext })),
    check(answer) {
      const { ciphertext } = fromBinary(EncryptResponseSchema, answer);
      if (ciphertext.length !== ciphertextBytes)
        throw new Error("the answer is not the ciphertext asked for");
    },
  },
  "encrypt-batch": {
    ...batched,
    title: `encrypt, ${messageBytes} B, batch of ${batchItems}`,
    key: "bench/aes-software",
    algorithm: "aes-256-gcm",
    protection: "software",
    method: CryptographyService.method.encryptBatch,
    peer: "loop",
    request(name) {
      const items = Array.from({ length: batchItems }, () => ({ plaintext }));
      return toBinary(EncryptBatchRequestSchema, create(EncryptBatchRequestSchema, { name, items }));
    },
    check(answer) {
      const { results } = fromBinary(EncryptBatchResponseSchema, answer);
      requireAll(results, (result) => result.ciphertext.length === ciphertextBytes);
    },
  },
  "encrypt-stream": {
    ...alone,
    streamed: true,
    callsInFlight: 256,
    title: `encrypt, ${messageBytes} B, stream`,
    key: "bench/aes-software",
    algorithm: "aes-256-gcm",
    protection: "software",
    method: CryptographyService.method.use,
    peer: "loop",
    request: (name) =>
      toBinary(
        UseRequestSchema,
        create(UseRequestSchema, {
          operations: [{ id: 1n, operation: { case: "encrypt", value: { name, plaintext } } }],
        }),
      ),
    check(answer) {
      for (const { result } of fromBinary(UseResponseSchema, answer).results) {
        if (result.case !== "encrypt" || result.value.ciphertext.length !== ciphertextBytes) {
          throw new Error("the answer is not the ciphertext asked for");
        }
      }
    },
  },
  "sign-batch-software": {
    ...signed,
    title: `sign P-256, batch of ${batchItems}, software`,
    key: "bench/p256-software",
    protection: "software",
    peer: "loop",
  },
  "sign-batch-hsm": {
    ...signed,
    title: `sign P-256, batch of ${batchItems}, HSM`,
    key: "bench/p256-hsm",
    protection: "hsm",
    peer: "loop",
  },
  "create-software": { ...created("aes-256-gcm", "software"), title: "create aes-256-gcm, software" },
  "create-hsm": { ...created("ecdsa-p256", "hsm"), title: "create ecdsa-p256, HSM" },
};

/** A key of its own for each call, beside those that the installation was given. */
function created(algorithm: string, protection: "software" | "hsm"): Omit<Workload, "title"> {
  return {
    ...alone,
    callsInFlight: 16,
    constant: false,
    share: 0.5,
    key: `bench/made-${protection}`,
    algorithm,
    protection,
    method: KeyGenerationService.method.createKey,
    peer: "loop",
    request: (name, number) =>
      toBinary(
        CreateKeyRequestSchema,
        create(CreateKeyRequestSchema, { name: `${name}-${number}`, algorithm, protection }),
      ),
    check(answer) {
      const { key } = fromBinary(CreateKeyResponseSchema, answer);
      if (key?.currentVersion !== 1) throw new Error("the answer is not a key that was made");
    },
  };
}

type AnyResult =
  | MessageShape<typeof EncryptBatchResponseSchema>["results"][number]
  | MessageShape<typeof SignBatchResponseSchema>["results"][number];

function requireAll<Result extends AnyResult>(results: Result[], isRight: (result: Result) => boolean): void {
  if (
    results.length !== batchItems ||
    !results.every((result) => result.error === undefined && isRight(result))
  ) {
    throw new Error("the answer is not the batch asked for");
  }
}
