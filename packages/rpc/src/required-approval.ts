import { createHash } from "node:crypto";
import { type DescMessage, type MessageShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import type { Attempt } from "./attempt.ts";
import type { IncomingCall, PipelineOptions } from "./pipeline.ts";

const requestCharactersMax = 4096;

/** Goes on where others consented to exactly this request, once. @throws DomainError `failed-precondition`, with whom to ask */
export async function requireApproval<Unit>(
  options: PipelineOptions<Unit>,
  call: IncomingCall,
  attempt: Attempt,
  request: unknown,
): Promise<void> {
  const { input } = call.method;
  const { requestId = "" } = request as { requestId?: string };
  const message = { ...(request as object), requestId: "" } as unknown as MessageShape<DescMessage>;
  const answer = await options.claimApproval?.({
    identity: attempt.actor,
    method: attempt.method,
    permission: attempt.permission,
    resource: attempt.resource,
    requestHash: createHash("sha256").update(`${attempt.method}\0`).update(toBinary(input, message)).digest(),
    request: toJsonString(input, message).slice(0, requestCharactersMax),
    requestId,
  });
  if (answer?.granted === true) {
    attempt.details.approval = answer.id;
    return;
  }
  throw answer === undefined
    ? new DomainError("failed-precondition", "this takes others' approval, and is not asked for here")
    : new DomainError(
        "failed-precondition",
        `${attempt.permission} on ${attempt.resource} takes ${answer.wanting ?? 0} more ${answer.wanting === 1 ? "approval" : "approvals"} of group ${answer.group ?? ""}: request ${answer.id} waits`,
        { hint: `they run claviger approvals approve ${answer.id}; then run the same command again` },
      );
}
