import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  CryptographyService,
  type OperationResult,
  type OperationSchema,
  UseRequestSchema,
  type UseResponse,
} from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { CallOptions } from "./call.ts";
import { duplexCall } from "./duplex-call.ts";
import type { Transport } from "./transport.ts";

export type Operation = MessageInitShape<typeof OperationSchema>;

const operationsMax = 64;
/** A message ends with the operation that passes it; the service takes 4 MiB, and 1 MiB of plaintext each. */
const bytesMax = 1024 * 1024;

/**
 * Operations as they come over one stream, and their results as they finish, in any order: `id` says which is
 * whose. What is ready together goes in one message; while the service does not read, nothing more is taken.
 *
 * @throws DomainError where the stream itself fails; a result says why its operation did
 */
export async function* operationPipeline(
  transport: Transport,
  operations: AsyncIterable<Operation> | Iterable<Operation>,
  options: CallOptions,
): AsyncGenerator<OperationResult> {
  const messages = duplexCall(CryptographyService.method.use, transport, packed(operations), options);
  for await (const message of messages) yield* (message as UseResponse).results;
}

/** Protobuf's repeated fields can be put after one another: messages of one operation each make one of many. */
async function* packed(
  operations: AsyncIterable<Operation> | Iterable<Operation>,
): AsyncGenerator<Uint8Array> {
  const source =
    Symbol.asyncIterator in operations ? operations[Symbol.asyncIterator]() : resolved(operations);
  try {
    let next = source.next();
    for (let first = await next; !first.done; first = await next) {
      const parts = [encodeOne(first.value)];
      let bytes = parts[0]!.length;
      const turn = new Promise<undefined>((resolve) => setImmediate(resolve, undefined));
      next = source.next();
      while (parts.length < operationsMax && bytes < bytesMax) {
        const more = await Promise.race([next, turn]);
        if (more === undefined || more.done) break;
        const part = encodeOne(more.value);
        parts.push(part);
        bytes += part.length;
        next = source.next();
      }
      yield Buffer.concat(parts);
    }
  } finally {
    await source.return?.();
  }
}

async function* resolved(operations: Iterable<Operation>): AsyncGenerator<Operation> {
  yield* operations;
}

function encodeOne(operation: Operation): Uint8Array {
  return toBinary(UseRequestSchema, create(UseRequestSchema, { operations: [operation] }));
}
