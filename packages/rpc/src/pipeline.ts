import { randomUUID } from "node:crypto";
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { type AuditOutcome, type AuditRecord, buildAuditRecord } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import type { Identity } from "@claviger/identity";
import type { CallContext } from "./context.ts";
import { asDomainError } from "./errors.ts";
import type { PolicyRow } from "./policy.ts";

/** Asks storage, or is storage. */
export type Authorize = (question: {
  identity: string;
  certificateSerial: string;
  permission: string;
  resource: string;
}) => Promise<{ allowed: boolean; reason: string }>;

/** How this service makes work and its audit record one thing. */
export interface AuditedWork<Unit> {
  /** Runs `work`; what it did and the record are durable, together, before this resolves. */
  run<T>(work: (unit: Unit) => Promise<T>, record: () => AuditRecord): Promise<T>;
  /** Keeps a record by itself: of a refusal. */
  keep(record: AuditRecord): Promise<void>;
  /** For the few methods whose policy row says why they are not recorded. */
  runUnrecorded<T>(work: (unit: Unit) => Promise<T>): Promise<T>;
}

export interface PipelineOptions<Unit> {
  service: string;
  authorize: Authorize;
  auditedWork: AuditedWork<Unit>;
  now: () => Date;
  onInternalError: (traceId: string, method: string, error: unknown) => void;
}

/** What an adapter knows of a call before anybody has looked at it. */
export interface IncomingCall {
  method: DescMethod;
  /** As it came, or a message that came inside of another. */
  request: Uint8Array | { readonly message: unknown };
  /** Throws `unauthenticated` where the certificate names nobody. */
  authenticate: () => { identity: Identity; certificateSerial: string };
  traceId: string;
  signal: AbortSignal;
}

interface Attempt {
  method: string;
  permission: string;
  resource: string;
  subject: string;
  actor: string;
  certificateSerial: string;
  exempt: boolean;
  details: Record<string, string | number | boolean>;
}

/**
 * Identity → policy row → access decision → handler → audit record durable → answer. The order is
 * the point: nothing of the request is acted on before the decision, and nothing is answered before
 * the record is kept.
 */
export async function passPipeline<Unit, Answer>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  // biome-ignore lint/suspicious/noExplicitAny: rows and handlers are typed where they are registered
  row: PolicyRow<any>,
  // biome-ignore lint/suspicious/noExplicitAny: rows and handlers are typed where they are registered
  handle: (request: any, context: CallContext<Unit>) => Promise<Answer>,
): Promise<Answer> {
  const attempt: Attempt = {
    method: `${call.method.parent.typeName}/${call.method.name}`,
    permission: row.permission ?? "",
    resource: "*",
    subject: "",
    actor: "",
    certificateSerial: "",
    exempt: false,
    details: {},
  };
  const recordOf = (outcome: AuditOutcome, errorKind?: string): AuditRecord =>
    recordAttempt(options, call, attempt, outcome, errorKind);
  try {
    const { identity, request } = await admit(options, call, row, attempt);
    const work = (unit: Unit): Promise<Answer> => {
      attempt.details = {};
      return handle(request, new PipelineContext(call, attempt, identity, unit));
    };
    if (attempt.exempt) return await options.auditedWork.runUnrecorded(work);
    return await options.auditedWork.run(work, () => recordOf("allowed"));
  } catch (error) {
    const refusal = asDomainError(error);
    if (refusal.kind === "internal")
      options.onInternalError(call.traceId, attempt.method, refusal.cause ?? refusal);
    if (!attempt.exempt) {
      const outcome = refusal.kind === "denied" || refusal.kind === "unauthenticated" ? "refused" : "failed";
      await options.auditedWork.keep(recordOf(outcome, refusal.kind)).catch((cause) => {
        throw new DomainError("unavailable", "the refusal could not be recorded", { cause });
      });
    }
    throw refusal;
  }
}

class PipelineContext<Unit> implements CallContext<Unit> {
  readonly caller: Identity;
  readonly unit: Unit;
  readonly #call: IncomingCall;
  readonly #attempt: Attempt;

  constructor(call: IncomingCall, attempt: Attempt, caller: Identity, unit: Unit) {
    this.caller = caller;
    this.unit = unit;
    this.#call = call;
    this.#attempt = attempt;
  }

  get certificateSerial(): string {
    return this.#attempt.certificateSerial;
  }

  get traceId(): string {
    return this.#call.traceId;
  }

  get signal(): AbortSignal {
    return this.#call.signal;
  }

  // Fields rather than methods, since handlers take them off the context.
  readonly concerns = (subject: string): void => {
    this.#attempt.subject = bounded(subject);
  };

  readonly note = (details: Attempt["details"]): void => {
    for (const [name, value] of Object.entries(details)) {
      this.#attempt.details[name] = typeof value === "string" ? bounded(value) : value;
    }
  };

  /** For what goes on after the transaction. */
  withoutUnit(): CallContext<undefined> {
    return new PipelineContext(this.#call, this.#attempt, this.caller, undefined);
  }
}

async function admit<Unit>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  row: PolicyRow<unknown>,
  attempt: Attempt,
): Promise<{ identity: Identity; request: unknown }> {
  const { identity, certificateSerial } = call.authenticate();
  attempt.actor = identity.uri;
  attempt.certificateSerial = certificateSerial;
  admitCaller(row, identity);
  const request = decode(call);
  attempt.exempt = row.auditExempt?.(request) !== undefined;
  attempt.resource = bounded(row.resource?.(request) || "*");
  attempt.subject = bounded(row.subject?.(request) ?? "");
  const answer = await options.authorize({
    identity: identity.uri,
    certificateSerial,
    permission: attempt.permission,
    resource: attempt.resource,
  });
  if (!answer.allowed) {
    throw new DomainError("denied", answer.reason, {
      hint: !answer.reason.startsWith("no role")
        ? undefined
        : "an administrator can grant a role: claviger access grant ROLE --to IDENTITY --on KEYRING[/KEY]",
    });
  }
  return { identity, request };
}

function admitCaller(row: PolicyRow<unknown>, identity: Identity): void {
  if (row.callers === "anyone") return;
  if (identity.kind === "claviger" && row.callers.includes(identity.name)) return;
  throw new DomainError("denied", "this method is for Claviger's own services");
}

function decode(call: IncomingCall): unknown {
  if ("message" in call.request) return call.request.message;
  try {
    return fromBinary(call.method.input, call.request);
  } catch (cause) {
    throw new DomainError("invalid-argument", `the request is not a ${call.method.input.typeName}`, {
      hint: "generate the client from this version's proto files",
      cause,
    });
  }
}

const auditedTextCharactersMax = 512;

/** What a caller wrote goes into the record, but never without a bound, nor with control characters. */
function bounded(text: string): string {
  const cut = text.length <= auditedTextCharactersMax ? text : `${text.slice(0, auditedTextCharactersMax)}…`;
  return cut.replace(/\p{Cc}/gu, "\ufffd");
}

function recordAttempt<Unit>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  attempt: Attempt,
  outcome: AuditOutcome,
  errorKind: string | undefined,
): AuditRecord {
  return buildAuditRecord({
    id: randomUUID(),
    time: options.now(),
    service: options.service,
    method: attempt.method,
    permission: attempt.permission,
    resource: attempt.resource,
    outcome,
    ...(errorKind === undefined ? {} : { errorKind }),
    traceId: call.traceId,
    details: attempt.details,
    personal: {
      actor: attempt.actor,
      certificateSerial: attempt.certificateSerial,
      ...(attempt.subject === "" ? {} : { subject: attempt.subject }),
    },
  });
}
