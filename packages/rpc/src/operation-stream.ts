import type { DescMethod } from "@bufbuild/protobuf";
import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import { decodeMessage } from "./attempt.ts";
import { checkCount, type Operation, type OperationResult, passOperations } from "./combined.ts";
import type { AdapterOptions, Registration } from "./grpc-adapter.ts";
import { authenticator, encode, incoming, type RawDuplexCall, refuse } from "./incoming.ts";
import { type IncomingCall, passPipeline } from "./pipeline.ts";

const underWayMax = 256;
const bytesUnderWayMax = 16 * 1024 * 1024;
/** What has arrived and is not yet under way. */
const waitingMessagesMax = 64;
const waitingBytesMax = 4 * 1024 * 1024;
/** What has arrived by now goes together, up to so many operations, or one message's where it has more. */
const togetherMax = 64;
/** Past it, answers that could go together go in several messages: other clients' bound is 4 MiB. */
const answerBytesMax = 1024 * 1024;

/**
 * Operations as they come, answered as they finish. Past the bound under way, and while the caller does
 * not read its answers, nothing more is read: HTTP/2's flow control then holds the caller back.
 */
export function operationStream(
  registration: Registration<undefined>,
  method: DescMethod,
  options: AdapterOptions<undefined>,
): handleBidiStreamingCall<Buffer, Uint8Array> {
  return (call) => {
    const opening = incoming(call, method, options, { message: {} });
    // The stream itself is let in, and recorded, as a call.
    passPipeline(options, opening, registration.policy[method.localName]!, async () => undefined)
      .then(() => serve(registration, method, options, call, opening))
      .catch((error: unknown) => refuse(call, error));
  };
}

async function serve(
  registration: Registration<undefined>,
  method: DescMethod,
  options: AdapterOptions<undefined>,
  call: RawDuplexCall,
  { signal, traceId }: IncomingCall,
): Promise<void> {
  const around = { authenticate: authenticator(call, options), signal, traceId };
  const underWay = new Set<Promise<void>>();
  let operationsUnderWay = 0;
  let bytesUnderWay = 0;
  for await (const { operations, bytes } of arrivals(call, method)) {
    while (
      underWay.size > 0 &&
      (operationsUnderWay + operations.length > underWayMax || bytesUnderWay + bytes > bytesUnderWayMax)
    ) {
      await Promise.race(underWay);
    }
    if (signal.aborted) break;
    operationsUnderWay += operations.length;
    bytesUnderWay += bytes;
    const work = passOperations(registration, options, around, operations)
      .then((results) => writeAll(call, method, results))
      .catch((error: unknown) => refuse(call, error))
      .finally(() => {
        underWay.delete(work);
        operationsUnderWay -= operations.length;
        bytesUnderWay -= bytes;
      });
    underWay.add(work);
  }
  await Promise.all(underWay);
  call.end();
}

interface Arrived {
  operations: Operation[];
  bytes: number;
}

/** The operations of a stream, those together that are there after a turn of the event loop. */
async function* arrivals(call: RawDuplexCall, method: DescMethod): AsyncGenerator<Arrived> {
  const waiting: Buffer[] = [];
  let waitingBytes = 0;
  const isFull = (): boolean => waiting.length >= waitingMessagesMax || waitingBytes >= waitingBytesMax;
  const take = (): Buffer => {
    const bytes = waiting.shift()!;
    waitingBytes -= bytes.length;
    return bytes;
  };
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  call.on("data", (bytes: Buffer) => {
    waiting.push(bytes);
    waitingBytes += bytes.length;
    if (isFull()) call.pause();
    wake?.();
  });
  const end = (error?: Error): void => {
    ended = true;
    failure ??= error;
    wake?.();
  };
  call.on("end", end).on("close", end).on("cancelled", end).on("error", end);
  for (;;) {
    if (waiting.length > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      const operations: Operation[] = [];
      let bytes = 0;
      do {
        const message = take();
        bytes += message.length;
        operations.push(...decode(method, message));
      } while (waiting.length > 0 && operations.length < togetherMax);
      if (!isFull()) call.resume();
      yield { operations, bytes };
    } else if (ended) {
      if (failure !== undefined) throw failure;
      return;
    } else {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    }
  }
}

/** @throws DomainError `invalid-argument`, which ends the stream: without it, nobody knows what was meant */
function decode(method: DescMethod, bytes: Buffer): Operation[] {
  const { operations } = decodeMessage(method, bytes, "what came") as { operations: Operation[] };
  checkCount(operations);
  return operations;
}

async function writeAll(
  call: RawDuplexCall,
  method: DescMethod,
  results: readonly OperationResult[],
): Promise<void> {
  const bytes = encode(method, { results });
  if (bytes.length <= answerBytesMax || results.length === 1) return write(call, bytes);
  const half = Math.ceil(results.length / 2);
  await writeAll(call, method, results.slice(0, half));
  await writeAll(call, method, results.slice(half));
}

async function write(call: RawDuplexCall, bytes: Uint8Array): Promise<void> {
  if (call.cancelled || call.destroyed || call.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const event of endings) call.off(event, done);
      resolve();
    };
    for (const event of endings) call.on(event, done);
  });
}

const endings = ["drain", "close", "cancelled"] as const;
