import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import type { CallContext } from "./context.ts";
import { asDomainError, toServiceError } from "./errors.ts";
import type { AdapterOptions, Registration } from "./grpc-adapter.ts";
import { authenticator, encode, incoming, type RawDuplexCall } from "./incoming.ts";
import { type IncomingCall, passPipeline } from "./pipeline.ts";
import { passTogether, type Settled } from "./together.ts";

/** The names of the methods that carry other methods' operations. */
export interface CombinedMethods {
  batch: string;
  stream: string;
}

/** An operation inside of a message: the oneof's case is the local name of the method. */
interface Operation {
  id: bigint;
  operation: { case: string | undefined; value?: unknown };
}

interface OperationResult {
  id: bigint;
  result: { case: string; value: unknown };
}

const operationsMax = 1000;
const underWayMax = 256;

/** Of a stream: what has arrived by now goes together, up to so many. */
const togetherMax = 64;

type Surroundings = Pick<IncomingCall, "authenticate" | "traceId" | "signal">;

/** Each operation by the way of a call of its method, those on one resource together; in their order. */
async function pass(
  registration: Registration<undefined>,
  options: AdapterOptions<undefined>,
  around: Surroundings,
  operations: readonly Operation[],
): Promise<OperationResult[]> {
  const results: OperationResult[] = [];
  const places = operations.map((operation, at) => ({ operation, at }));
  const groups = Map.groupBy(places, ({ operation }) => whatFor(registration, operation));
  await Promise.all(
    [...groups.values()].map(async (group) => {
      const settled = await passGroup(
        registration,
        options,
        around,
        group.map(({ operation }) => operation),
      );
      for (const [of, { at, operation }] of group.entries()) {
        results[at] = resultOf(operation, settled[of]!);
      }
    }),
  );
  return results;
}

/** Method, resource and subject: what an access decision and an audit record are about. */
function whatFor(
  { policy }: Registration<undefined>,
  { operation: { case: name, value } }: Operation,
): string {
  if (name === undefined) return "";
  const row = policy[name]!;
  return `${name}\n${row.resource?.(value) ?? ""}\n${row.subject?.(value) ?? ""}`;
}

async function passGroup(
  { handlers, policy, service }: Registration<undefined>,
  options: AdapterOptions<undefined>,
  around: Surroundings,
  operations: readonly Operation[],
): Promise<Settled[]> {
  const name = operations[0]!.operation.case;
  if (name === undefined) {
    const error = new DomainError(
      "invalid-argument",
      "the operation is empty, or is one that this version does not know",
    );
    return operations.map(() => ({ error }));
  }
  const messages = operations.map(({ operation }) => operation.value);
  return passTogether(options, around, service.method[name]!, policy[name]!, handlers[name]!, messages);
}

function resultOf({ id, operation }: Operation, settled: Settled): OperationResult {
  if ("value" in settled) return { id, result: { case: operation.case!, value: settled.value } };
  const { kind, message } = settled.error;
  return { id, result: { case: "error", value: { kind, message } } };
}

export function operationBatch(
  registration: Registration<undefined>,
  options: AdapterOptions<undefined>,
): (
  request: { operations: Operation[] },
  context: CallContext<undefined>,
) => Promise<{ results: OperationResult[] }> {
  return async ({ operations }, context) => {
    if (operations.length === 0 || operations.length > operationsMax) {
      throw new DomainError(
        "invalid-argument",
        `a batch has 1 to ${operationsMax} operations, not ${operations.length}`,
      );
    }
    const { caller: identity, certificateSerial, signal, traceId } = context;
    const around = { authenticate: () => ({ identity, certificateSerial }), signal, traceId };
    const results = await pass(registration, options, around, operations);
    context.note({
      operations: results.length,
      failed: results.filter(({ result }) => result.case === "error").length,
    });
    return { results };
  };
}

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
      .catch((error: unknown) => call.destroy(toServiceError(asDomainError(error))));
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
  for await (const arrived of arrivals(call)) {
    const operations = arrived.map((bytes) => decode(method, bytes));
    operationsUnderWay += operations.length;
    const work = pass(registration, options, around, operations)
      .then((results) => writeAll(call, method, results))
      .catch((error: unknown) => void call.destroy(toServiceError(asDomainError(error))))
      .finally(() => {
        underWay.delete(work);
        operationsUnderWay -= operations.length;
      });
    underWay.add(work);
    while (operationsUnderWay > underWayMax - togetherMax) await Promise.race(underWay);
    if (signal.aborted) break;
  }
  await Promise.all(underWay);
  call.end();
}

/** A stream's messages, those together that are there after a turn of the event loop. */
async function* arrivals(call: RawDuplexCall): AsyncGenerator<Buffer[]> {
  let waiting: Buffer[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake: (() => void) | undefined;
  call.on("data", (bytes: Buffer) => {
    waiting.push(bytes);
    if (waiting.length >= togetherMax) call.pause();
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
      const arrived = waiting.slice(0, togetherMax);
      waiting = waiting.slice(togetherMax);
      if (waiting.length < togetherMax) call.resume();
      yield arrived;
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

async function writeAll(
  call: RawDuplexCall,
  method: DescMethod,
  results: readonly OperationResult[],
): Promise<void> {
  for (const result of results) await write(call, encode(method, result));
}

function decode(method: DescMethod, bytes: Buffer): Operation {
  try {
    return fromBinary(method.input, bytes) as unknown as Operation;
  } catch (cause) {
    throw new DomainError("invalid-argument", `what came is not a ${method.input.typeName}`, {
      hint: "generate the client from this version's proto files",
      cause,
    });
  }
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
