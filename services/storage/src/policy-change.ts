import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { covers } from "./access-rules.ts";
import { checkBinding, checkMember, groupPrefix, type WantedBinding } from "./bindings.ts";
import { checkKeyringName, checkResource } from "./names.ts";

export interface Member {
  group: string;
  identity: string;
}

/** Who has what, and who is in which group. */
export interface AccessPolicy<Row extends WantedBinding = WantedBinding> {
  bindings: readonly Row[];
  members: readonly Member[];
}

export interface PolicyChange {
  scope: string;
  complete: boolean;
  bindings: readonly WantedBinding[];
  removedBindings: readonly WantedBinding[];
  groups: readonly { name: string; members: readonly string[] }[];
  addedMembers: readonly Member[];
  removedMembers: readonly Member[];
}

export interface PolicyDifference<Row extends WantedBinding = WantedBinding> {
  addedBindings: WantedBinding[];
  removedBindings: Row[];
  addedMembers: Member[];
  removedMembers: Member[];
}

const bindingsMax = 10_000;
const membersMax = 10_000;
const conditionsMax = 500;

/** @throws DomainError `invalid-argument`, which names the entry */
export function checkChange(change: PolicyChange, trustDomain: string): PolicyChange {
  const scope = checkResource(change.scope || "*");
  if (scope.includes("/")) throw invalid("a policy's scope is * or a keyring");
  // Each is compiled: so many take a tenth of a second, in which storage does nothing else.
  if (new Set(change.bindings.map(({ condition }) => condition)).size > conditionsMax) {
    throw invalid(`a policy has at most ${conditionsMax} different conditions`);
  }
  const bindings = change.bindings.map((row, at) => checkEntry(`binding ${at + 1}`, () => check(row)));
  const removedBindings = change.removedBindings.map((row, at) =>
    checkEntry(`removed binding ${at + 1}`, () => check({ ...row, condition: "" })),
  );
  const groups = change.groups.map(({ members, name }) =>
    checkEntry(`group ${name.slice(0, 40)}`, () => ({
      name: checkKeyringName(name),
      members: members.map((uri) => checkMember(uri, trustDomain)),
    })),
  );
  const [addedMembers, removedMembers] = [change.addedMembers, change.removedMembers].map((members) =>
    members.map(({ group, identity }) =>
      checkEntry(`member of ${group.slice(0, 40)}`, () => ({
        group: checkKeyringName(group),
        identity: checkMember(identity, trustDomain),
      })),
    ),
  ) as [Member[], Member[]];
  const checked = { ...change, scope, bindings, removedBindings, groups, addedMembers, removedMembers };
  requireScope(checked);
  requireBounds(checked);
  requireOnce(checked);
  return checked;

  function check(row: WantedBinding): WantedBinding {
    return checkBinding(row, trustDomain);
  }
}

function checkEntry<T>(entry: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof DomainError) || error.kind !== "invalid-argument") throw error;
    throw new DomainError("invalid-argument", `${entry}: ${error.message}`, {
      hint: error.hint,
      cause: error,
    });
  }
}

/** Who may grant on one keyring changes nothing beside it, and no groups, which have roles elsewhere. */
function requireScope({ scope, ...change }: PolicyChange): void {
  if (scope === "*") return;
  const outside = [...change.bindings, ...change.removedBindings].find((row) => !covers(scope, row.resource));
  if (outside !== undefined) {
    throw invalid(`${outside.role} on ${outside.resource} is outside of the policy's scope, ${scope}`);
  }
  if (change.groups.length + change.addedMembers.length + change.removedMembers.length > 0) {
    throw invalid("groups are changed by a policy of scope * alone");
  }
}

function requireBounds(change: PolicyChange): void {
  const members = change.groups.reduce((sum, group) => sum + group.members.length, 0);
  if (change.bindings.length + change.removedBindings.length > bindingsMax) {
    throw invalid(`a policy has at most ${bindingsMax} bindings`);
  }
  if (members + change.addedMembers.length + change.removedMembers.length > membersMax) {
    throw invalid(`a policy has at most ${membersMax} members of groups`);
  }
}

/** What is said twice, or both wanted and not, is a mistake of whoever wrote it. */
function requireOnce(change: PolicyChange): void {
  const said = [
    ...[...change.bindings, ...change.removedBindings].map(
      (row) => `${row.role} for ${row.identity} on ${row.resource}`,
    ),
    ...[...change.addedMembers, ...change.removedMembers].map(
      ({ group, identity }) => `${identity} in ${group}`,
    ),
    ...change.groups.map(({ name }) => `group ${name}`),
  ];
  const seen = new Set<string>();
  const twice = said.find((text) => seen.size === seen.add(text).size);
  if (twice !== undefined) throw invalid(`${twice} is in the policy twice`);
}

function invalid(message: string): DomainError {
  return new DomainError("invalid-argument", message);
}

function placeOf({ identity, resource, role }: WantedBinding): string {
  return `${identity} ${resource} ${role}`;
}

/** What is to be added and taken away, to get from one to the other. A changed condition is both. */
export function differenceOf<Row extends WantedBinding>(
  current: AccessPolicy<Row>,
  change: PolicyChange,
): PolicyDifference<Row> {
  const wanted = new Map(change.bindings.map((row) => [placeOf(row), row]));
  const unwanted = new Set(change.removedBindings.map(placeOf));
  const there = new Map(current.bindings.map((row) => [placeOf(row), row]));
  const goes = (row: Row): boolean => {
    const other = wanted.get(placeOf(row));
    if (other !== undefined) return other.condition !== row.condition;
    return unwanted.has(placeOf(row)) || (change.complete && covers(change.scope, row.resource));
  };
  const members = new Set(current.members.map(memberText));
  const whole = new Map(change.groups.map((group) => [group.name, new Set(group.members)]));
  const comes = [
    ...change.groups.flatMap(({ members: of, name }) =>
      [...new Set(of)].map((identity) => ({ group: name, identity })),
    ),
    ...change.addedMembers,
  ];
  const leaves = new Set(change.removedMembers.map(memberText));
  return {
    addedBindings: change.bindings.filter((row) => there.get(placeOf(row))?.condition !== row.condition),
    removedBindings: current.bindings.filter(goes),
    addedMembers: [...new Map(comes.map((member) => [memberText(member), member])).values()].filter(
      (member) => !members.has(memberText(member)),
    ),
    removedMembers: current.members.filter(
      (member) => leaves.has(memberText(member)) || whole.get(member.group)?.has(member.identity) === false,
    ),
  };
}

function memberText({ group, identity }: Member): string {
  return `${group} ${identity}`;
}

/** As it would be. */
export function policyAfter(current: AccessPolicy, difference: PolicyDifference): AccessPolicy {
  const removed = new Set<WantedBinding>(difference.removedBindings);
  const left = new Set<Member>(difference.removedMembers);
  return {
    bindings: [...current.bindings.filter((row) => !removed.has(row)), ...difference.addedBindings],
    members: [...current.members.filter((member) => !left.has(member)), ...difference.addedMembers],
  };
}

/** Says whether anything has changed since it was computed. */
export function digestOf({ bindings, members }: AccessPolicy): Buffer {
  const lines = [
    ...bindings.map((row) => JSON.stringify([placeOf(row), row.condition])),
    ...members.map((member) => JSON.stringify([memberText(member)])),
  ].sort();
  return createHash("sha256").update("claviger/policy/v1\n").update(lines.join("\n")).digest();
}

/** What one identity has in it, by itself and by its groups. */
export function holdingsIn(policy: AccessPolicy) {
  const byHolder = Map.groupBy(policy.bindings, ({ identity }) => identity);
  const byMember = Map.groupBy(policy.members, ({ identity }) => identity);
  return (identity: string) => {
    const groups = (byMember.get(identity) ?? []).map(({ group }) => group);
    const bindings = [identity, ...groups.map((group) => `${groupPrefix}${group}`)].flatMap(
      (holder) => byHolder.get(holder) ?? [],
    );
    return { groups, bindings: bindings.map((row) => ({ id: "", ...row })) };
  };
}
