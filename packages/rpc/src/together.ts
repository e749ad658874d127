import type { DescMethod } from "@bufbuild/protobuf";
import type { DomainError, ErrorKind } from "@claviger/domain-error";
import {
  type Attempt,
  admit,
  beginAttempt,
  bounded,
  keepRefusal,
  PipelineContext,
  recordAttempt,
} from "./attempt.ts";
import type { CallContext } from "./context.ts";
import { asDomainError } from "./errors.ts";
import type { IncomingCall, PipelineOptions } from "./pipeline.ts";
import type { PolicyRow } from "./policy.ts";

export type Settled = { value: unknown } | { error: DomainError };

interface Ended {
  attempt: Attempt;
  settled: Settled;
}

/**
 * Operations of one method on one resource that came together, for a service without transactions: one access
 * decision, each operation by itself, and one audit record for those that ended alike, which counts them. No
 * answer goes out before all the records are kept.
 */
export async function passTogether(
  options: PipelineOptions<undefined>,
  around: Pick<IncomingCall, "authenticate" | "traceId" | "signal">,
  method: DescMethod,
  // biome-ignore lint/suspicious/noExplicitAny: rows and handlers are typed where they are registered
  row: PolicyRow<any>,
  // biome-ignore lint/suspicious/noExplicitAny: rows and handlers are typed where they are registered
  handle: (request: any, context: CallContext<undefined>) => Promise<unknown>,
  messages: readonly unknown[],
): Promise<Settled[]> {
  const first = beginAttempt(method, row);
  const call: IncomingCall = { ...around, method, request: { message: messages[0] } };
  const record = (ended: readonly Ended[]) =>
    recordAttempt(options, call, together(ended), kindOf(ended[0]!.settled));
  let ended: Ended[] = [];
  try {
    const { identity } = await admit(options, call, row, first);
    const work = async (unit: undefined): Promise<void> => {
      ended = await Promise.all(
        messages.map((message) => {
          const attempt = { ...first, details: {} };
          const context = new PipelineContext(call, attempt, identity, unit);
          return attemptOne(options, call, attempt, () => handle(message, context));
        }),
      );
    };
    let groups: Ended[][] = [];
    await options.auditedWork.run(work, () => {
      groups = alike(ended);
      return record(groups[0]!);
    });
    await Promise.all(groups.slice(1).map((group) => keepRefusal(options, record(group))));
    return ended.map(({ settled }) => settled);
  } catch (error) {
    const refusal = asDomainError(error);
    if (ended.length === 0) {
      const refused = messages.map(() => ({ attempt: first, settled: { error: refusal } }));
      await keepRefusal(options, record(refused));
    }
    return messages.map(() => ({ error: refusal }));
  }
}

async function attemptOne(
  options: PipelineOptions<undefined>,
  call: IncomingCall,
  attempt: Attempt,
  work: () => Promise<unknown>,
): Promise<Ended> {
  try {
    return { attempt, settled: { value: await work() } };
  } catch (cause) {
    const error = asDomainError(cause);
    if (error.kind === "internal") {
      options.onInternalError(call.traceId, attempt.method, error.cause ?? error);
    }
    return { attempt, settled: { error } };
  }
}

function kindOf(settled: Settled): ErrorKind | undefined {
  return "error" in settled ? settled.error.kind : undefined;
}

/** By how they ended and whom they concerned. */
function alike(ended: readonly Ended[]): Ended[][] {
  return [...Map.groupBy(ended, ({ attempt, settled }) => `${kindOf(settled)}\n${attempt.subject}`).values()];
}

/** What one record says of several: how many they were, and each detail's values. */
function together(ended: readonly Ended[]): Attempt {
  const { attempt } = ended[0]!;
  if (ended.length === 1) return attempt;
  const details: Attempt["details"] = { operations: ended.length };
  for (const name of new Set(ended.flatMap((one) => Object.keys(one.attempt.details)))) {
    const values = [
      ...new Set(ended.map((one) => one.attempt.details[name]).filter((value) => value !== undefined)),
    ];
    details[name] = values.length === 1 ? values[0]! : bounded(values.join(", "));
  }
  return { ...attempt, details };
}
