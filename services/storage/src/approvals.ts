import { randomUUID } from "node:crypto";
import { verifyApproval } from "@claviger/approval";
import { DomainError } from "@claviger/domain-error";
import { covers } from "./access-rules.ts";
import { freshApproval } from "./freshness.ts";
import { publish, type Registry } from "./registry.ts";
import { type ApprovalRuleRow, listApprovalRules } from "./store/approval-rules.ts";
import {
  type ApprovalRow,
  countWaiting,
  insertApproval,
  insertVote,
  listVotes,
  lockApprovalsOf,
  updateApproval,
  type VoteRow,
} from "./store/approvals.ts";
import { listGroupMembers } from "./store/groups.ts";

/** What may be put under a rule: changes that are asked for one by one, and whose request says all of them. */
export const approvable: ReadonlySet<string> = new Set([
  "keys.destroy",
  "keys.destroy-held",
  "keys.export",
  "keys.change-state",
  "keys.configure",
  "keyrings.rotate",
  "keyrings.configure",
  "access.grant",
  "identities.enroll",
  "identities.revoke",
]);
const includedIn: Readonly<Record<string, string>> = { "keys.destroy-held": "keys.destroy" };
export const requiredMax = 16;
const lifetimeMilliseconds = 3 * 86_400_000;
const waitingMax = 100;
const sameRequestMax = 50;
const membersMax = 1000;

export type ApprovalState = "waiting" | "approved" | "rejected" | "executed" | "expired";

export interface Claim {
  identity: string;
  method: string;
  permission: string;
  resource: string;
  requestHash: Uint8Array;
  request: string;
  requestId: string;
}

export type ClaimAnswer =
  | { granted: true; id: string }
  | { granted: false; id: string; wanting: number; group: string };

/** Every rule that covers a resource, or something within it: each has to be met, or one more could undo another. */
export async function rulesFor(
  registry: Registry,
  permission: string,
  resource: string,
): Promise<ApprovalRuleRow[]> {
  if (!approvable.has(permission)) return [];
  const rules = await listApprovalRules(registry.tx, registry.sealer, permission);
  // What takes consent by itself still takes it where more is asked.
  const included = includedIn[permission];
  if (included !== undefined) {
    rules.push(...(await listApprovalRules(registry.tx, registry.sealer, included)));
  }
  return rules.filter((rule) => covers(rule.resource, resource) || covers(resource, rule.resource));
}

type Wanted = Pick<ApprovalRuleRow, "groupName" | "required">;

/**
 * Uses up approvals of exactly this request, one for each rule; where one is wanting, it is waited for from now on.
 * What a request was approved under counts, and what the rule wants by now besides.
 */
export async function claimApproval(
  registry: Registry,
  rules: readonly Wanted[],
  claim: Claim,
): Promise<ClaimAnswer> {
  const { now, sealer, tx } = registry;
  const requestHash = Buffer.from(claim.requestHash);
  const same = await lockApprovalsOf(tx, sealer, { requester: claim.identity, requestHash }, sameRequestMax);
  // The same request again, whose answer did not arrive.
  const repeated = same.find((row) => claim.requestId !== "" && row.executedBy === claim.requestId);
  if (repeated !== undefined) return { granted: true, id: repeated.id };
  const approved: ApprovalRow[] = [];
  let waiting: ClaimAnswer | undefined;
  for (const rule of rules) {
    const found = await usableFor(registry, rule, same);
    if (found === undefined) waiting = await ask(registry, rule, claim);
    else if (found.wanting === 0) approved.push(found.row);
    else {
      const { groupName, id } = found.row;
      waiting = { granted: false, id, wanting: found.wanting, group: groupName };
    }
  }
  if (waiting !== undefined) return waiting;
  for (const row of approved) {
    await updateApproval(tx, sealer, { ...row, executedAt: now, executedBy: claim.requestId });
    await publish(registry, "approval.executed", row.id, { permission: row.permission });
  }
  return { granted: true, id: approved[0]?.id ?? "" };
}

/** The newest of the same request that meets a rule, or may come to. */
async function usableFor(
  registry: Registry,
  rule: Wanted,
  same: readonly ApprovalRow[],
): Promise<{ row: ApprovalRow; wanting: number } | undefined> {
  for (const { id } of same) {
    const row = await freshApproval(registry, id);
    if (row === undefined || row.executedAt !== null || row.expiresAt <= registry.now) continue;
    if (row.groupName !== rule.groupName || row.required < rule.required) continue;
    const { approving, rejected } = await standing(registry, row);
    if (!rejected) return { row, wanting: Math.max(0, row.required - approving.length) };
  }
  return undefined;
}

async function ask(registry: Registry, rule: Wanted, claim: Claim): Promise<ClaimAnswer> {
  const { now, sealer, tx } = registry;
  if ((await countWaiting(tx, claim.identity, now)) >= waitingMax) {
    throw new DomainError("exhausted", `${waitingMax} requests of this caller wait for approval already`);
  }
  const id = randomUUID();
  await insertApproval(tx, sealer, {
    id,
    requester: claim.identity,
    method: claim.method,
    permission: claim.permission,
    resource: claim.resource,
    requestHash: Buffer.from(claim.requestHash),
    request: concealRequest(registry, id, claim.request),
    required: rule.required,
    groupName: rule.groupName,
    createdAt: now,
    expiresAt: new Date(now.getTime() + lifetimeMilliseconds),
    executedAt: null,
    executedBy: "",
    revision: 1,
  });
  await publish(registry, "approval.requested", id, { permission: claim.permission, group: rule.groupName });
  return { granted: false, id, wanting: rule.required, group: rule.groupName };
}

/** What is asked for may say what is encrypted elsewhere. */
function concealRequest({ columns }: Registry, id: string, request: string): string {
  return columns.conceal({ column: "approvals.request", row: id }, request).toString("base64url");
}

/** A row from before has it in clear: JSON, which base64url never looks like. */
export function requestOf(
  { columns }: Registry,
  { id, request }: Pick<ApprovalRow, "id" | "request">,
): string {
  if (!/^[\w-]{34,}$/.test(request)) return request;
  return columns.reveal({ column: "approvals.request", row: id }, Buffer.from(request, "base64url"));
}

interface Standing {
  /** Those whose consent counts now: members still, and not the requester. */
  approving: VoteRow[];
  rejected: boolean;
}

async function standing(registry: Registry, row: ApprovalRow): Promise<Standing> {
  const { sealer, tx } = registry;
  const members = await listGroupMembers(tx, sealer, row.groupName, membersMax);
  const current = new Set(members.map(({ identity }) => identity));
  const votes = (await listVotes(tx, sealer, [row.id])).filter(({ identity }) => current.has(identity));
  return {
    approving: votes.filter(
      (vote) =>
        vote.approved &&
        vote.identity !== row.requester &&
        verifyApproval({ ...row, group: row.groupName }, vote.certificate, vote.signature),
    ),
    rejected: votes.some(({ approved }) => !approved),
  };
}

export async function stateOf(registry: Registry, row: ApprovalRow): Promise<ApprovalState> {
  if (row.executedAt !== null) return "executed";
  const { approving, rejected } = await standing(registry, row);
  if (rejected) return "rejected";
  if (row.expiresAt <= registry.now) return "expired";
  return approving.length >= row.required ? "approved" : "waiting";
}

/** @throws DomainError `denied` for the requester and for who is not of the group; `failed-precondition` when it is too late */
export async function vote(
  registry: Registry,
  id: string,
  voter: { identity: string; certificate: Uint8Array; approved: boolean; signature: Uint8Array },
): Promise<ApprovalRow> {
  const row = await freshApproval(registry, id);
  if (row === undefined) throw new DomainError("not-found", `there is no approval ${id}`);
  const { sealer, tx } = registry;
  const members = await listGroupMembers(tx, sealer, row.groupName, membersMax);
  if (voter.identity === row.requester) {
    throw new DomainError("denied", "nobody approves or rejects a request of their own");
  }
  if (!members.some(({ identity }) => identity === voter.identity)) {
    throw new DomainError("denied", `that is for members of group ${row.groupName}`);
  }
  const state = await stateOf(registry, row);
  if (state !== "waiting" && state !== "approved") {
    throw new DomainError("failed-precondition", `approval ${id} is ${state}`, {
      hint: "the requester can ask again, with the same command",
    });
  }
  const signature = Buffer.from(voter.signature);
  const certificate = Buffer.from(voter.certificate);
  if (voter.approved && !verifyApproval({ ...row, group: row.groupName }, certificate, signature)) {
    throw new DomainError(
      "invalid-argument",
      "the signature is not of this approval by the caller's certificate",
    );
  }
  const { approved, identity } = voter;
  const made = { approvalId: id, identity, approved, signature, certificate, votedAt: registry.now };
  if (!(await insertVote(tx, sealer, made))) {
    throw new DomainError("already-exists", "this identity has said yes or no already");
  }
  await publish(registry, approved ? "approval.approved" : "approval.rejected", id);
  return row;
}
