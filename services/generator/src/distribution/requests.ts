import type { DecideAccess } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import type { RecipientRecord } from "@claviger/key-ticket";
import type { SignedRequest } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { RequestVerifier, VerifiedRequest } from "@claviger/signed-request";
import type { BoundRecords } from "./bound-records.ts";

export interface RequestDeskOptions {
  verifier: RequestVerifier;
  records: BoundRecords;
  decide: DecideAccess;
  now: () => Date;
}

type Bound = Parameters<BoundRecords["open"]>[0];

/**
 * Whose wish it is, whoever brings it: the distribution service passes requests on, and has no say in them
 * (invariant 11).
 */
export class RequestDesk {
  readonly #options: RequestDeskOptions;

  constructor(options: RequestDeskOptions) {
    this.#options = options;
  }

  /** The request of somebody who has not been revoked. @throws DomainError */
  async open(signed: SignedRequest | undefined, does: string): Promise<VerifiedRequest> {
    const { decide, now, verifier } = this.#options;
    if (signed === undefined) throw new DomainError("invalid-argument", "the request is not signed");
    const request = verifier.verify(signed, does, now());
    const { certificateSerial, identity } = request;
    if (identity.kind === "claviger") {
      throw new DomainError("denied", "Claviger's own services are given no keys");
    }
    const answer = await decide({ identity: identity.uri, certificateSerial, permission: "", resource: "*" });
    if (!answer.allowed) throw new DomainError("denied", answer.reason);
    return request;
  }

  /** @throws DomainError `denied` where the maker of a request may not do that itself */
  async requireRight(
    { certificateSerial, identity }: VerifiedRequest,
    permission: string,
    resource: string,
  ): Promise<void> {
    const { decide } = this.#options;
    const answer = await decide({ identity: identity.uri, certificateSerial, permission, resource });
    if (!answer.allowed) throw new DomainError("denied", answer.reason);
    // An approval is claimed by whoever serves the caller: from here it cannot be seen.
    if (answer.needsApproval === true && permission === "keys.export") {
      throw new DomainError(
        "denied",
        `the export of ${resource} takes approvals, and a delivery cannot show them`,
        {
          hint: "use claviger keys export, which waits for them",
        },
      );
    }
  }

  /** A recipient whose key still counts, and who has not been revoked. @throws DomainError */
  async recipient(bound: Bound): Promise<RecipientRecord & { key: Buffer }> {
    const { decide, now, records } = this.#options;
    const record = await records.open(bound, "recipient");
    const { identity } = record;
    if (Date.parse(record.notAfter) <= now().getTime()) {
      throw new DomainError("failed-precondition", `the recipient key of ${identity} has expired`, {
        hint: "its owner registers a new one: claviger recipients register",
      });
    }
    const answer = await decide({ identity, certificateSerial: "", permission: "", resource: "*" });
    if (!answer.allowed) throw new DomainError("denied", answer.reason);
    return { ...record, key: Buffer.from(record.publicKey, "base64") };
  }
}
