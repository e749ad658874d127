import type { DescMethod } from "@bufbuild/protobuf";
import type { AuditRecord } from "@claviger/audit-record";
import type { ErrorKind } from "@claviger/domain-error";
import type { AuthenticationStrength, Identity } from "@claviger/identity";
import { admit, beginAttempt, keepRefusal, PipelineContext, recordAttempt } from "./attempt.ts";
import type { CallContext } from "./context.ts";
import { asDomainError } from "./errors.ts";
import type { PolicyRow } from "./policy.ts";

/** Asks storage, or is storage. */
export type Authorize = (question: {
  identity: string;
  certificateSerial: string;
  permission: string;
  resource: string;
  authentication?: AuthenticationStrength;
  /** The call renews the caller's own certificate. */
  renewal?: boolean;
}) => Promise<{ allowed: boolean; reason: string; needsApproval?: boolean }>;

/** A request that others have to consent to. */
export interface ApprovalClaim {
  identity: string;
  method: string;
  permission: string;
  resource: string;
  /** SHA-256 over the method's name, a zero byte and the request without its request_id. */
  requestHash: Uint8Array;
  /** JSON, for people. */
  request: string;
  requestId: string;
}

/** Asks storage, or is storage: uses an approval up, or says which one is waited for. */
export type ClaimApproval = (
  claim: ApprovalClaim,
) => Promise<{ granted: boolean; id: string; wanting?: number; group?: string }>;

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
  /** Where it is left out, what needs approval is refused. */
  claimApproval?: ClaimApproval | undefined;
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
  authenticate: () => {
    identity: Identity;
    certificateSerial: string;
    certificate?: Uint8Array;
    /** How strongly; absent where there is no certificate. */
    authentication?: AuthenticationStrength;
  };
  traceId: string;
  signal: AbortSignal;
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
  const attempt = beginAttempt(call.method, row);
  const recordOf = (errorKind?: ErrorKind): AuditRecord => recordAttempt(options, call, attempt, errorKind);
  try {
    const { identity, request } = await admit(options, call, row, attempt);
    const work = (unit: Unit): Promise<Answer> => {
      attempt.details = {};
      return handle(request, new PipelineContext(call, attempt, identity, unit));
    };
    if (attempt.exempt) return await options.auditedWork.runUnrecorded(work);
    return await options.auditedWork.run(work, () => recordOf());
  } catch (error) {
    const refusal = asDomainError(error);
    if (refusal.kind === "internal")
      options.onInternalError(call.traceId, attempt.method, refusal.cause ?? refusal);
    if (!attempt.exempt) {
      await keepRefusal(options, recordOf(refusal.kind));
    }
    throw refusal;
  }
}
