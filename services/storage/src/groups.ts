import { DomainError } from "@claviger/domain-error";
import type { Identity } from "@claviger/identity";
import { groupPrefix, lockAdministrators, requireAdministratorLeft } from "./bindings.ts";
import { publish, type Registry } from "./registry.ts";
import {
  deleteGroupMember,
  type GroupMemberRow,
  insertGroupMember,
  listGroupMembers,
} from "./store/groups.ts";

const membersMax = 1000;

/** Who joins has, from then on, what roles are bound to the group. */
export async function addMember(
  registry: Registry,
  { group, identity }: { group: string; identity: string },
  by: Identity,
): Promise<GroupMemberRow> {
  const { now, sealer, tx } = registry;
  await lockAdministrators(registry);
  if ((await listGroupMembers(tx, sealer, group, membersMax)).length >= membersMax) {
    throw new DomainError("exhausted", `a group has at most ${membersMax} members`);
  }
  const row = { groupName: group, identity, addedBy: by.uri, addedAt: now };
  if (!(await insertGroupMember(tx, sealer, row))) {
    throw new DomainError("already-exists", `${identity} is in group ${group} already`);
  }
  await publish(registry, "access.changed", "groups");
  return row;
}

export async function removeMember(
  registry: Registry,
  { group, identity }: { group: string; identity: string },
): Promise<void> {
  const { now, sealer, tx } = registry;
  const administrators = await lockAdministrators(registry);
  const members = await listGroupMembers(tx, sealer, group, membersMax);
  const row = members.find((member) => member.identity === identity);
  if (row === undefined) throw new DomainError("not-found", `${identity} is not in group ${group}`);
  await deleteGroupMember(tx, sealer, row, now);
  const administers = administrators.some((binding) => binding.identity === `${groupPrefix}${group}`);
  if (administers) await requireAdministratorLeft(registry);
  await publish(registry, "access.changed", "groups");
}
