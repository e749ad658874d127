import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import type { handleBidiStreamingCall } from "@grpc/grpc-js";
import type { CallContext } from "./context.ts";
import { asDomainError, toServiceError } from "./errors.ts";
import type { AdapterOptions, Registration } from "./grpc-adapter.ts";
import { authenticator, encode, incoming, type RawDuplexCall } from "./incoming.ts";
import { type IncomingCall, passPipeline } from "./pipeline.ts";

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

type Surroundings = Pick<IncomingCall, "authenticate" | "traceId" | "signal">;

/** One operation, by the same way as a call of its method: decision, audit record, answer. */
async function pass<Unit>(
  registration: Registration<Unit>,
  options: AdapterOptions<Unit>,
  around: Surroundings,
  { id, operation }: Operation,
): Promise<OperationResult> {
  try {
    const name = operation.case;
    if (name === undefined) {
      throw new DomainError(
        "invalid-argument",
        "the operation is empty, or is one that this version does not know",
      );
    }
    const method: DescMethod = registration.service.method[name]!;
    const call: IncomingCall = { ...around, method, request: { message: operation.value } };
    const handler = registration.handlers[name]!;
    const value = await passPipeline(options, call, registration.policy[name]!, handler);
    return { id, result: { case: name, value } };
  } catch (error) {
    const { kind, message } = asDomainError(error);
    return { id, result: { case: "error", value: { kind, message } } };
  }
}

export function operationBatch<Unit>(
  registration: Registration<Unit>,
  options: AdapterOptions<Unit>,
): (
  request: { operations: Operation[] },
  context: CallContext<Unit>,
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
    const results = await Promise.all(
      operations.map((operation) => pass(registration, options, around, operation)),
    );
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
export function operationStream<Unit>(
  registration: Registration<Unit>,
  method: DescMethod,
  options: AdapterOptions<Unit>,
): handleBidiStreamingCall<Buffer, Uint8Array> {
  return (call) => {
    const opening = incoming(call, method, options, { message: {} });
    // The stream itself is let in, and recorded, as a call.
    passPipeline(options, opening, registration.policy[method.localName]!, async () => undefined)
      .then(() => serve(registration, method, options, call, opening))
      .catch((error: unknown) => call.destroy(toServiceError(asDomainError(error))));
  };
}

async function serve<Unit>(
  registration: Registration<Unit>,
  method: DescMethod,
  options: AdapterOptions<Unit>,
  call: RawDuplexCall,
  { signal, traceId }: IncomingCall,
): Promise<void> {
  const around = { authenticate: authenticator(call, options), signal, traceId };
  const underWay = new Set<Promise<void>>();
  for await (const bytes of call) {
    const operation = decode(method, bytes as Buffer);
    const work = pass(registration, options, around, operation)
      .then((result) => write(call, encode(method, result)))
      .catch((error: unknown) => void call.destroy(toServiceError(asDomainError(error))))
      .finally(() => underWay.delete(work));
    underWay.add(work);
    if (underWay.size >= underWayMax) await Promise.race(underWay);
    if (signal.aborted) break;
  }
  await Promise.all(underWay);
  call.end();
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
