import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { type Identity, parseIdentity } from "@claviger/identity";
import { compileCondition } from "./condition-language.ts";
import { whyRevoked } from "./freshness.ts";
import { checkKeyringName, checkResource } from "./names.ts";
import { publish, type Registry } from "./registry.ts";
import { isRole, roles } from "./roles.ts";
import { type BindingRow, bindingsOf, deleteBinding, insertBinding, lockOfRole } from "./store/bindings.ts";
import { listGroupMembers } from "./store/groups.ts";

export const groupPrefix = "group:";
const membersMax = 1000;

export type WantedBinding = Pick<BindingRow, "role" | "identity" | "resource" | "condition">;

/** A binding as somebody asks for it. @throws DomainError `invalid-argument` */
export function checkBinding(
  request: Pick<WantedBinding, "role" | "identity" | "resource"> & { condition?: string },
  trustDomain: string,
): WantedBinding {
  const condition = (request.condition ?? "").trim();
  if (!isRole(request.role)) {
    throw new DomainError("invalid-argument", `"${request.role.slice(0, 40)}" is not a role`, {
      hint: `roles are ${Object.keys(roles).join(", ")}`,
    });
  }
  const identity = checkHolder(request.identity, trustDomain);
  const resource = checkResource(request.resource);
  if (condition !== "") compileCondition(condition);
  return { role: request.role, identity, resource, condition };
}

/** Who can have a role: a workload, a user, or a group. */
export function checkHolder(holder: string, trustDomain: string): string {
  if (holder.startsWith(groupPrefix)) {
    return `${groupPrefix}${checkKeyringName(holder.slice(groupPrefix.length))}`;
  }
  return checkMember(holder, trustDomain);
}

/** A workload or a user of this trust domain. */
export function checkMember(uri: string, trustDomain: string): string {
  const identity = parseIdentity(uri);
  if (identity.kind === "claviger" || identity.trustDomain !== trustDomain) {
    throw new DomainError("invalid-argument", "roles are for workloads and users of this trust domain");
  }
  return identity.uri;
}

export async function grantBinding(
  registry: Registry,
  wanted: WantedBinding,
  by: Identity,
): Promise<BindingRow> {
  await lockAdministrators(registry);
  const row = { ...wanted, id: randomUUID(), createdBy: by.uri, createdAt: registry.now };
  if (!(await insertBinding(registry.tx, registry.sealer, row))) {
    throw new DomainError(
      "already-exists",
      `${wanted.identity} has ${wanted.role} on ${wanted.resource} already`,
      { hint: "to change its condition, revoke it first, or use claviger access set" },
    );
  }
  await publish(registry, "access.changed", "bindings");
  return row;
}

export async function withdrawBinding(
  registry: Registry,
  wanted: Pick<WantedBinding, "role" | "identity" | "resource">,
): Promise<void> {
  const administrators = await lockAdministrators(registry);
  const bindings = await bindingsOf(registry.tx, registry.sealer, wanted.identity);
  const row = bindings.find(({ resource, role }) => role === wanted.role && resource === wanted.resource);
  if (row === undefined) {
    throw new DomainError("not-found", `${wanted.identity} has no ${wanted.role} on ${wanted.resource}`);
  }
  await deleteBinding(registry.tx, registry.sealer, row, registry.now);
  if (administrators.some(({ id }) => id === row.id)) await requireAdministratorLeft(registry);
  await publish(registry, "access.changed", "bindings");
}

/**
 * Held until the end of the transaction by whoever changes bindings or groups: of two who end the last two
 * administrators at once, one waits and is refused; and what a policy was computed from stays so until it is applied.
 */
export function lockAdministrators({ sealer, tx }: Registry): Promise<BindingRow[]> {
  return lockOfRole(tx, sealer, "administrator", "*");
}

/**
 * Somebody must be left who is administrator of everything, without a condition and not revoked, by a binding of their
 * own or by a group that they are in. Asked after the change, in its transaction.
 * @throws DomainError `failed-precondition`
 */
export async function requireAdministratorLeft(registry: Registry): Promise<void> {
  const { sealer, tx } = registry;
  for (const { condition, identity } of await lockAdministrators(registry)) {
    if (condition !== "") continue;
    const holders = identity.startsWith(groupPrefix)
      ? await listGroupMembers(tx, sealer, identity.slice(groupPrefix.length), membersMax)
      : [{ identity }];
    for (const holder of holders) {
      if ((await whyRevoked(registry, [`identity:${holder.identity}`])) === undefined) return;
    }
  }
  throw new DomainError("failed-precondition", "this is the last administrator of the installation", {
    hint: "grant administrator on * to somebody else first, without a condition",
  });
}
