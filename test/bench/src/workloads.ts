import { create, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  CryptographyService,
  EncryptBatchRequestSchema,
  EncryptBatchResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  SignBatchRequestSchema,
  SignBatchResponseSchema,
} from "@claviger/proto/generator/v1/cryptography_pb.ts";

export const messageBytes = 256;
export const batchItems = 100;
/** Header of 37 bytes, ciphertext, tag of 16: the layout of docs/formats.md. */
const ciphertextBytes = 37 + messageBytes + 16;

export const workloadNames = ["encrypt", "encrypt-batch", "sign-batch-software", "sign-batch-hsm"] as const;
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
  /** Whether the peer does it too: it has no HSM. */
  peer: boolean;
  /** Of the measured time that the command line gives; the extra columns need less precision. */
  share: number;
  request(key: string): Uint8Array;
  /** @throws where the answer is not what was asked for */
  check(answer: Uint8Array): void;
}

const plaintext = new Uint8Array(messageBytes).fill(7);
const batched = { operationsPerCall: batchItems, callsInFlight: 8 };
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
    method: CryptographyService.method.encrypt,
    operationsPerCall: 1,
    callsInFlight: 64,
    peer: true,
    share: 1,
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
    peer: true,
    share: 1,
    request(name) {
      const items = Array.from({ length: batchItems }, () => ({ plaintext }));
      return toBinary(EncryptBatchRequestSchema, create(EncryptBatchRequestSchema, { name, items }));
    },
    check(answer) {
      const { results } = fromBinary(EncryptBatchResponseSchema, answer);
      requireAll(results, (result) => result.ciphertext.length === ciphertextBytes);
    },
  },
  "sign-batch-software": {
    ...signed,
    title: `sign P-256, batch of ${batchItems}, software`,
    key: "bench/p256-software",
    protection: "software",
    peer: true,
  },
  "sign-batch-hsm": {
    ...signed,
    title: `sign P-256, batch of ${batchItems}, HSM`,
    key: "bench/p256-hsm",
    protection: "hsm",
    peer: false,
  },
};

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
