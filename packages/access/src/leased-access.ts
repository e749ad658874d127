import type { MessageInitShape } from "@bufbuild/protobuf";
import { createServiceClient, type Transport } from "@claviger/client";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { AuthenticationStrength } from "@claviger/identity";
import { LeaseCache } from "@claviger/lease";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { ApprovalService } from "@claviger/proto/storage/v1/approval_pb.ts";

export interface AccessQuestion {
  /** The caller's SPIFFE URI. */
  identity: string;
  /** Lower-case hexadecimal. */
  certificateSerial: string;
  /** Empty asks only whether the caller is revoked. */
  permission: string;
  /** `*`, `keyring` or `keyring/key`. */
  resource: string;
  /** Of the caller's connection. Without it no floor is met. */
  authentication?: AuthenticationStrength;
  /** The call renews the caller's own certificate. */
  renewal?: boolean;
}

export interface AccessAnswer {
  allowed: boolean;
  /** A sentence that names the deciding row. */
  reason: string;
  /** Others have to consent besides. */
  needsApproval?: boolean;
  /** For how long time alone leaves it as it is; zero where for ever. */
  validMilliseconds?: number;
}

export type DecideAccess = (question: AccessQuestion) => Promise<AccessAnswer>;

/**
 * To whoever called us, a storage that does not answer is a service that is away, not a deadline of theirs.
 * @throws DomainError
 */
export function refuseSilence(error: unknown): never {
  if (!isDomainError(error, "deadline-exceeded")) throw error;
  throw new DomainError("unavailable", "storage does not answer, and nothing is decided without it", {
    hint: "try again shortly; `claviger status` shows what is away",
    cause: error,
  });
}

/** The request, by its hash, and for whom. */
export type ClaimApproval = (
  claim: MessageInitShape<(typeof ApprovalService)["method"]["claimApproval"]["input"]>,
) => Promise<{ granted: boolean; id: string; wanting: number; group: string }>;

/** A connection's strength is one object as long as it lives. */
const strengthTexts = new WeakMap<AuthenticationStrength, string>();

function strengthText(strength: AuthenticationStrength): string {
  const known = strengthTexts.get(strength);
  if (known !== undefined) return known;
  const text = JSON.stringify(Object.values(strength));
  strengthTexts.set(strength, text);
  return text;
}

/** Two connections of one certificate may differ in their key exchange. */
function keyOf({ authentication, renewal, ...question }: AccessQuestion): string {
  const strength = authentication === undefined ? "" : strengthText(authentication);
  const { certificateSerial, identity, permission, resource } = question;
  return `${identity}\n${certificateSerial}\n${permission}\n${resource}\n${strength}\n${renewal === true}`;
}

const refusalLeaseMilliseconds = 1000;
const decisionsMax = 50_000;

export interface LeasedAccess {
  decide: DecideAccess;
  /** Uses an approval up, or says which one is waited for; never held. */
  claimApproval: ClaimApproval;
  /** An event said that access changed: nothing cached holds any more. */
  invalidate(): void;
}

/**
 * Access decisions of storage, each held for a lease that runs from the moment of asking. A refusal
 * is held for a second, so that a caller who asks in a loop costs storage little.
 */
export function createLeasedAccess(options: {
  /** To storage. */
  transport: Transport;
  leaseMilliseconds: number;
}): LeasedAccess {
  const defaults = { deadlineMilliseconds: 5000 };
  const storage = createServiceClient(AccessService, options.transport, defaults);
  const approvals = createServiceClient(ApprovalService, options.transport, defaults);
  const cache = new LeaseCache<AccessAnswer>({
    leaseMilliseconds: options.leaseMilliseconds,
    entriesMax: decisionsMax,
  });
  // Counted from the moment of asking, as the lease: a little before storage looked at the clock.
  const leaseOf = ({ allowed, validMilliseconds = 0 }: AccessAnswer): number =>
    Math.min(
      allowed ? options.leaseMilliseconds : refusalLeaseMilliseconds,
      validMilliseconds === 0 ? Number.POSITIVE_INFINITY : validMilliseconds,
    );
  return {
    decide(question) {
      const key = keyOf(question);
      return cache.get(key, () => storage.decideAccess(question).catch(refuseSilence), leaseOf);
    },
    claimApproval: (claim) => approvals.claimApproval(claim).catch(refuseSilence),
    invalidate: () => cache.invalidate(),
  };
}
