import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest } from "@claviger/idempotency";
import type { Identity } from "@claviger/identity";
import {
  type Approval,
  type ApprovalService,
  RemoveApprovalRuleRequestSchema,
  SetApprovalRuleRequestSchema,
} from "@claviger/proto/storage/v1/approval_pb.ts";
import type { CallContext, Handlers } from "@claviger/rpc";
import { decidePermission } from "../access.ts";
import { approvable, requestOf, requiredMax, stateOf, vote } from "../approvals.ts";
import { type ConsentOptions, claimUnderRules, requireConsent } from "../consent.ts";
import { checkKeyringName, checkResource } from "../names.ts";
import { publish, type Registry } from "../registry.ts";
import {
  type ApprovalRuleRow,
  deleteApprovalRule,
  insertApprovalRule,
  listApprovalRules,
  rulesMax,
} from "../store/approval-rules.ts";
import { type ApprovalRow, listApprovals, listVotes, lockApproval } from "../store/approvals.ts";
import { listGroupMembers, membershipsOf } from "../store/groups.ts";
import { justAfter } from "../store/withdrawals.ts";

const approvalsOfList = 200;

export function approvalHandlers(options: ConsentOptions): Handlers<typeof ApprovalService, Transaction> {
  const { open } = options;
  return {
    async listApprovalRules(_, { unit }) {
      const rules = await listApprovalRules(unit, open(unit).sealer, "");
      return { rules: rules.map(ruleMessage) };
    },
    async setApprovalRule(request, context) {
      const wanted = checkRule(request);
      const method = "claviger.storage.v1.ApprovalService/SetApprovalRule";
      const requestHash = hashRequest(SetApprovalRuleRequestSchema, { ...request, requestId: "" });
      await requireConsent(options, context.caller, {
        ...wanted,
        method,
        requestHash,
        requestId: request.requestId,
      });
      const registry = open(context.unit);
      await requireEnough(registry, wanted);
      const replaces = await removeRule(registry, wanted);
      const createdAt = replaces ? justAfter(registry.now) : registry.now;
      const row = { ...wanted, createdBy: context.caller.uri, createdAt };
      await insertApprovalRule(context.unit, registry.sealer, row);
      await publish(registry, "access.changed", "approval-rules");
      context.note({ permission: wanted.permission, required: wanted.required, group: wanted.groupName });
      return { rule: ruleMessage(row) };
    },
    async removeApprovalRule(request, context) {
      const { permission } = request;
      const resource = checkResource(request.resource);
      const method = "claviger.storage.v1.ApprovalService/RemoveApprovalRule";
      const requestHash = hashRequest(RemoveApprovalRuleRequestSchema, { ...request, requestId: "" });
      const removal = { permission, resource, method, requestHash, requestId: request.requestId };
      await requireConsent(options, context.caller, removal);
      const registry = open(context.unit);
      if (!(await removeRule(registry, { permission, resource }))) {
        throw new DomainError("not-found", `there is no rule for ${permission} on ${resource}`);
      }
      await publish(registry, "access.changed", "approval-rules");
      context.note({ permission });
      return {};
    },
    async listApprovals({ state }, { caller, unit }) {
      const registry = open(unit);
      const reach = await reachFor(registry, caller);
      const rows = await listApprovals(unit, registry.sealer, reach, approvalsOfList);
      const approvals = await Promise.all(rows.map((row) => approvalMessage(registry, row)));
      return { approvals: approvals.filter((approval) => state === "" || approval.state === state) };
    },
    async getApproval({ id }, { caller, unit }) {
      const registry = open(unit);
      const row = await lockApproval(unit, registry.sealer, checkId(id));
      const reach = await reachFor(registry, caller);
      const may =
        row !== undefined &&
        (reach.everybody || row.requester === caller.uri || reach.groups.includes(row.groupName));
      if (!may) throw new DomainError("not-found", `there is no approval ${id} that concerns this caller`);
      return { approval: await approvalMessage(registry, row) };
    },
    approveRequest: ({ id, signature }, context) => cast(context, id, { approved: true, signature }),
    rejectRequest: ({ id }, context) => cast(context, id, { approved: false, signature: new Uint8Array() }),
    claimApproval: (request) => claimUnderRules(options, request),
  };

  async function cast(
    { caller, certificate, note, unit }: CallContext<Transaction>,
    id: string,
    { approved, signature }: { approved: boolean; signature: Uint8Array },
  ) {
    const registry = open(unit);
    const row = await vote(registry, checkId(id), { identity: caller.uri, certificate, approved, signature });
    note({ approval: id, permission: row.permission, target: row.resource });
    return { approval: await approvalMessage(registry, row) };
  }
}

async function removeRule(
  { now, sealer, tx }: Registry,
  wanted: { permission: string; resource: string },
): Promise<boolean> {
  const rules = await listApprovalRules(tx, sealer, wanted.permission);
  const old = rules.find(({ resource }) => resource === wanted.resource);
  if (old !== undefined) await deleteApprovalRule(tx, sealer, old, now);
  else if (rules.length >= rulesMax)
    throw new DomainError("exhausted", `there are ${rulesMax} rules already`);
  return old !== undefined;
}

/** Otherwise nobody could ever approve anything, the rule's removal neither. */
async function requireEnough(
  { sealer, tx }: Registry,
  { groupName, required }: { groupName: string; required: number },
): Promise<void> {
  const members = await listGroupMembers(tx, sealer, groupName, requiredMax + 1);
  // One more than is required: a member's own request is approved by others.
  if (members.length > required) return;
  throw new DomainError(
    "failed-precondition",
    `group ${groupName} has ${members.length} members, and ${required + 1} are wanted, since nobody approves a request of their own`,
    { hint: `claviger access groups add ${groupName} --member IDENTITY` },
  );
}

function checkRule(request: { permission: string; resource: string; required: number; group: string }) {
  if (!approvable.has(request.permission)) {
    throw new DomainError(
      "invalid-argument",
      `"${request.permission.slice(0, 40)}" cannot be put under a rule`,
      {
        hint: `these can: ${[...approvable].join(", ")}`,
      },
    );
  }
  if (request.required < 1 || request.required > requiredMax) {
    throw new DomainError("invalid-argument", `a rule asks for 1 to ${requiredMax} approvals`);
  }
  return {
    permission: request.permission,
    resource: checkResource(request.resource),
    required: request.required,
    groupName: checkKeyringName(request.group),
  };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function checkId(id: string): string {
  if (uuid.test(id)) return id;
  throw new DomainError("invalid-argument", "an approval's id is a UUID", {
    hint: "claviger approvals list",
  });
}

async function reachFor(registry: Registry, caller: Identity) {
  const { allowed } = await decidePermission(registry, caller, "audit.read", "*");
  const memberships = await membershipsOf(registry.tx, registry.sealer, caller.uri);
  return {
    everybody: allowed,
    requester: caller.uri,
    groups: memberships.map(({ groupName }) => groupName),
  };
}

function ruleMessage({ createdAt, createdBy, groupName, permission, required, resource }: ApprovalRuleRow) {
  const made = { createdBy, createdAt: timestampFromDate(createdAt) };
  return { permission, resource, required, group: groupName, ...made };
}

async function approvalMessage(
  registry: Registry,
  row: ApprovalRow,
): Promise<Omit<Approval, "$typeName" | "votes"> & { votes: object[] }> {
  const votes = await listVotes(registry.tx, registry.sealer, [row.id]);
  const { createdAt, expiresAt, groupName, ...facts } = row;
  return {
    id: facts.id,
    requester: facts.requester,
    method: facts.method,
    permission: facts.permission,
    resource: facts.resource,
    requestHash: facts.requestHash,
    request: requestOf(registry, facts),
    required: facts.required,
    group: groupName,
    createdAt: timestampFromDate(createdAt),
    expiresAt: timestampFromDate(expiresAt),
    state: await stateOf(registry, row),
    votes: votes.map(({ approved, certificate, identity, signature, votedAt }) => ({
      identity,
      approved,
      signature,
      certificate,
      at: timestampFromDate(votedAt),
    })),
  };
}
