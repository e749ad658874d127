import { randomUUID } from "node:crypto";
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { type AuditOutcome, type AuditRecord, buildAuditRecord } from "@claviger/audit-record";
import { DomainError, type ErrorKind } from "@claviger/domain-error";
import type { AuthenticationStrength, Identity } from "@claviger/identity";
import type { CallContext } from "./context.ts";
import type { IncomingCall, PipelineOptions } from "./pipeline.ts";
import type { PolicyRow } from "./policy.ts";
import { requireApproval } from "./required-approval.ts";

/** What the audit record will say of a call, as it becomes known. */
export interface Attempt {
  method: string;
  permission: string;
  resource: string;
  subject: string;
  actor: string;
  certificateSerial: string;
  /** DER. */
  certificate: Uint8Array;
  authentication: AuthenticationStrength | undefined;
  exempt: boolean;
  details: Record<string, string | number | boolean>;
}

const noCertificate = new Uint8Array();

export function beginAttempt(method: DescMethod, row: PolicyRow<unknown>): Attempt {
  return {
    method: `${method.parent.typeName}/${method.name}`,
    permission: row.permission ?? "",
    resource: "*",
    subject: "",
    actor: "",
    certificateSerial: "",
    certificate: noCertificate,
    authentication: undefined,
    exempt: false,
    details: {},
  };
}

/** What a handler sees of a call. */
export class PipelineContext<Unit> implements CallContext<Unit> {
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

  get certificate(): Uint8Array {
    return this.#attempt.certificate;
  }

  get authentication(): AuthenticationStrength | undefined {
    return this.#attempt.authentication;
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

/** Who calls, whether this method is for them, and whether they may. @throws DomainError */
export async function admit<Unit>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  row: PolicyRow<unknown>,
  attempt: Attempt,
): Promise<{ identity: Identity; request: unknown }> {
  const { authentication, certificate, certificateSerial, identity } = call.authenticate();
  attempt.authentication = authentication;
  attempt.certificate = certificate ?? attempt.certificate;
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
    ...(authentication && { authentication }),
    ...(row.renewal === true && { renewal: true }),
  });
  if (!answer.allowed) {
    throw new DomainError("denied", answer.reason, {
      hint: !answer.reason.startsWith("no role")
        ? undefined
        : "an administrator can grant a role: claviger access grant ROLE --to IDENTITY --on KEYRING[/KEY]",
    });
  }
  if (answer.needsApproval === true) await requireApproval(options, call, attempt, request);
  return { identity, request };
}

function admitCaller(row: PolicyRow<unknown>, identity: Identity): void {
  if (row.callers === "anyone") return;
  if (identity.kind === "claviger" && row.callers.includes(identity.name)) return;
  throw new DomainError("denied", "this method is for Claviger's own services");
}

function decode(call: IncomingCall): unknown {
  return "message" in call.request
    ? call.request.message
    : decodeMessage(call.method, call.request, "the request");
}

/** @throws DomainError `invalid-argument`, in which the bytes are called `what` */
export function decodeMessage(method: DescMethod, bytes: Uint8Array, what: string): unknown {
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    throw new DomainError("invalid-argument", `${what} is not a ${method.input.typeName}`, {
      hint: "generate the client from this version's proto files",
      cause,
    });
  }
}

const auditedTextCharactersMax = 512;

/** What a caller wrote goes into the record, but never without a bound, nor with control characters. */
export function bounded(text: string): string {
  const cut = text.length <= auditedTextCharactersMax ? text : `${text.slice(0, auditedTextCharactersMax)}…`;
  return cut.replace(/\p{Cc}/gu, "\ufffd");
}

export function recordAttempt<Unit>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  attempt: Attempt,
  errorKind: ErrorKind | undefined,
): AuditRecord {
  return buildAuditRecord({
    id: randomUUID(),
    time: options.now(),
    service: options.service,
    method: attempt.method,
    permission: attempt.permission,
    resource: attempt.resource,
    outcome: outcomeOf(errorKind),
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

function outcomeOf(errorKind: ErrorKind | undefined): AuditOutcome {
  if (errorKind === undefined) return "allowed";
  return errorKind === "denied" || errorKind === "unauthenticated" ? "refused" : "failed";
}

/** @throws DomainError `unavailable` where even that cannot be recorded */
export async function keepRefusal<Unit>(options: PipelineOptions<Unit>, record: AuditRecord): Promise<void> {
  await options.auditedWork.keep(record).catch((cause) => {
    throw new DomainError("unavailable", "the refusal could not be recorded", { cause });
  });
}
