import type { Client } from "@claviger/client";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { LeaseCache } from "@claviger/lease";
import type { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";

export interface AccessQuestion {
  /** The caller's SPIFFE URI. */
  identity: string;
  /** Lower-case hexadecimal. */
  certificateSerial: string;
  /** Empty asks only whether the caller is revoked. */
  permission: string;
  /** `*`, `keyring` or `keyring/key`. */
  resource: string;
}

export interface AccessAnswer {
  allowed: boolean;
  /** A sentence that names the deciding row. */
  reason: string;
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

const refusalLeaseMilliseconds = 1000;
const decisionsMax = 50_000;

export interface LeasedAccess {
  decide: DecideAccess;
  /** An event said that access changed: nothing cached holds any more. */
  invalidate(): void;
}

/**
 * Access decisions of storage, each held for a lease that runs from the moment of asking. A refusal
 * is held for a second, so that a caller who asks in a loop costs storage little.
 */
export function createLeasedAccess(options: {
  storage: Client<typeof AccessService>;
  leaseMilliseconds: number;
}): LeasedAccess {
  const cache = new LeaseCache<AccessAnswer>({
    leaseMilliseconds: options.leaseMilliseconds,
    entriesMax: decisionsMax,
  });
  const leaseOf = (answer: AccessAnswer): number =>
    answer.allowed ? options.leaseMilliseconds : refusalLeaseMilliseconds;
  return {
    decide(question) {
      const key = `${question.identity}\n${question.certificateSerial}\n${question.permission}\n${question.resource}`;
      return cache.get(key, () => options.storage.decideAccess(question).catch(refuseSilence), leaseOf);
    },
    invalidate: () => cache.invalidate(),
  };
}
