import { DomainError } from "@claviger/domain-error";
import type { CallContext } from "./context.ts";
import type { AdapterOptions, Registration } from "./grpc-adapter.ts";
import type { IncomingCall } from "./pipeline.ts";
import { passTogether, type Settled } from "./together.ts";

/** The names of the methods that carry other methods' operations. */
export interface CombinedMethods {
  batch: string;
  stream: string;
}

/** An operation inside of a message: the oneof's case is the local name of the method. */
export interface Operation {
  id: bigint;
  operation: { case: string | undefined; value?: unknown };
}

export interface OperationResult {
  id: bigint;
  result: { case: string; value: unknown };
}

const operationsMax = 1000;

export type Surroundings = Pick<IncomingCall, "authenticate" | "traceId" | "signal">;

/** Each operation by the way of a call of its method, those on one resource together; in their order. */
export async function passOperations(
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
    checkCount(operations);
    const { authentication, caller: identity, certificateSerial, signal, traceId } = context;
    const peer = { identity, certificateSerial, ...(authentication && { authentication }) };
    const around = { authenticate: () => peer, signal, traceId };
    const results = await passOperations(registration, options, around, operations);
    context.note({
      operations: results.length,
      failed: results.filter(({ result }) => result.case === "error").length,
    });
    return { results };
  };
}

/** @throws DomainError `invalid-argument` where a message has none, or too many */
export function checkCount(operations: readonly Operation[]): void {
  if (operations.length > 0 && operations.length <= operationsMax) return;
  throw new DomainError(
    "invalid-argument",
    `a message has 1 to ${operationsMax} operations, not ${operations.length}`,
  );
}
