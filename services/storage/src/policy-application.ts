import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { Identity } from "@claviger/identity";
import { lockAdministrators, requireAdministratorLeft } from "./bindings.ts";
import { freshPolicy } from "./freshness.ts";
import {
  type AccessPolicy,
  differenceOf,
  digestOf,
  type PolicyChange,
  type PolicyDifference,
  policyAfter,
} from "./policy-change.ts";
import { leavesAdministrator } from "./policy-trial.ts";
import { publish, type Registry } from "./registry.ts";
import { listApprovalRules } from "./store/approval-rules.ts";
import { type BindingRow, deleteBinding, insertBinding } from "./store/bindings.ts";
import { deleteGroupMember, type GroupMemberRow, insertGroupMember } from "./store/groups.ts";

const membersOfGroupMax = 1000;
const bindingsOfHolderMax = 1000;

interface CurrentPolicy extends AccessPolicy<BindingRow> {
  memberships: readonly GroupMemberRow[];
}

/** As it is. @throws DomainError `integrity` */
export async function readPolicy(registry: Registry): Promise<CurrentPolicy> {
  const { bindings, memberships } = await freshPolicy(registry);
  return {
    bindings,
    memberships,
    members: memberships.map(({ groupName: group, identity }) => ({ group, identity })),
  };
}

/** Why a change is refused as a whole; undefined where it is not. */
export async function whyNotApplied(
  registry: Registry,
  difference: PolicyDifference,
  after: AccessPolicy,
): Promise<string | undefined> {
  const approving = await approvingGroups(registry, difference);
  if (approving.length > 0) {
    return `the members of group ${approving.join(", ")} approve others' requests: change them one by one, with claviger access groups`;
  }
  const crowd = overfull(after);
  if (crowd !== undefined) return crowd;
  if (difference.removedBindings.length + difference.removedMembers.length === 0) return undefined;
  return (await leavesAdministrator(registry, after))
    ? undefined
    : "it leaves nobody who is administrator of everything, without a condition";
}

/** Past these, decisions would not see all of somebody's. */
function overfull({ bindings, members }: AccessPolicy): string | undefined {
  const group = [...Map.groupBy(members, (member) => member.group)].find(
    ([, of]) => of.length > membersOfGroupMax,
  );
  if (group !== undefined) return `group ${group[0]} would have more than ${membersOfGroupMax} members`;
  const holder = [...Map.groupBy(bindings, ({ identity }) => identity)].find(
    ([, of]) => of.length > bindingsOfHolderMax,
  );
  return holder && `${holder[0]} would have more than ${bindingsOfHolderMax} roles`;
}

/** Who approves is changed by the old quorum, which approves one change at a time. */
async function approvingGroups({ sealer, tx }: Registry, difference: PolicyDifference): Promise<string[]> {
  const changed = new Set(
    [...difference.addedMembers, ...difference.removedMembers].map(({ group }) => group),
  );
  if (changed.size === 0) return [];
  const rules = await listApprovalRules(tx, sealer, "");
  return [...new Set(rules.map(({ groupName }) => groupName))].filter((group) => changed.has(group));
}

/**
 * All of it in the transaction of the registry.
 * @throws DomainError `failed-precondition` where it would lock out the last administrator, or what it was computed from
 * has changed
 */
export async function applyPolicy(
  registry: Registry,
  change: PolicyChange,
  { base, by }: { base: Uint8Array; by: Identity },
): Promise<{ difference: PolicyDifference; base: Buffer }> {
  await lockAdministrators(registry);
  const current = await readPolicy(registry);
  const digest = digestOf(current);
  if (base.length > 0 && !digest.equals(base)) {
    throw new DomainError(
      "failed-precondition",
      "roles or groups have changed since the difference was computed",
      {
        hint: "look at the difference again: claviger access set FILE",
      },
    );
  }
  const difference = differenceOf(current, change);
  const refusal = await whyNotApplied(registry, difference, policyAfter(current, difference));
  if (refusal !== undefined)
    throw new DomainError("failed-precondition", `the policy is refused: ${refusal}`);
  await apply(registry, current, difference, by);
  await requireAdministratorLeft(registry);
  await publish(registry, "access.changed", "policy");
  return { difference, base: digest };
}

async function apply(
  { now, sealer, tx }: Registry,
  { memberships }: CurrentPolicy,
  difference: PolicyDifference<BindingRow>,
  by: Identity,
): Promise<void> {
  for (const row of difference.removedBindings) await deleteBinding(tx, sealer, row, now);
  for (const wanted of difference.addedBindings) {
    const row = { ...wanted, id: randomUUID(), createdBy: by.uri, createdAt: now };
    if (!(await insertBinding(tx, sealer, row))) throw changedMeanwhile();
  }
  const leaving = new Set(difference.removedMembers.map(({ group, identity }) => `${group} ${identity}`));
  for (const row of memberships) {
    if (leaving.has(`${row.groupName} ${row.identity}`)) await deleteGroupMember(tx, sealer, row, now);
  }
  for (const { group, identity } of difference.addedMembers) {
    const row = { groupName: group, identity, addedBy: by.uri, addedAt: now };
    if (!(await insertGroupMember(tx, sealer, row))) throw changedMeanwhile();
  }
}

function changedMeanwhile(): DomainError {
  return new DomainError("aborted", "roles or groups are being changed at the same time", {
    hint: "try again",
  });
}
