import { type AccessQuestion, isPermission, type Permission, permissions } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { type Identity, parseIdentity } from "@claviger/identity";
import {
  type AccessDecision,
  type Binding,
  decideForCaller,
  decideForService,
  type Reach,
  reachOf,
} from "./access-rules.ts";
import { bindingsForLists, conditionsFor } from "./access-view.ts";
import { rulesFor } from "./approvals.ts";
import { freshHoldings, freshKey, whyRevoked } from "./freshness.ts";
import { parseKeyName } from "./names.ts";
import type { Registry } from "./registry.ts";
import { usesAreHigh } from "./uses.ts";

/** May this caller do this? First whether it has been revoked, then grants or bindings. */
export async function decideAccess(registry: Registry, question: AccessQuestion): Promise<AccessDecision> {
  const identity = parseIdentity(question.identity);
  const revoked = await whyRevoked(registry, [
    `identity:${identity.uri}`,
    `serial:${question.certificateSerial}`,
  ]);
  if (revoked !== undefined) return { allowed: false, reason: revoked };
  if (question.permission === "") return { allowed: true, reason: "not revoked" };
  const decision = await decidePermission(registry, identity, question.permission, question.resource);
  if (!decision.allowed || identity.kind === "claviger") return decision;
  const rules = await rulesFor(registry, question.permission, question.resource);
  return rules.length === 0 ? decision : { ...decision, needsApproval: true };
}

/** The decision by roles and grants alone, without a certificate: also what `access explain` shows. */
export async function decidePermission(
  registry: Registry,
  identity: Identity,
  permission: string,
  resource: string,
  at = registry.now,
): Promise<AccessDecision> {
  if (!isPermission(permission)) {
    throw new DomainError("invalid-argument", `"${permission.slice(0, 40)}" is not a permission`, {
      hint: `permissions are ${permissions.join(", ")}`,
    });
  }
  if (identity.kind === "claviger") {
    const due = permission === "keys.rotate" && (await rotationIsDue(registry, resource));
    return decideForService(identity, permission, resource, () => due);
  }
  const holdings = await freshHoldings(registry, identity.uri);
  const conditionOf = await conditionsFor(registry, holdings, { identity, permission, resource, at });
  return decideForCaller(identity, permission, resource, holdings.bindings, conditionOf);
}

async function rotationIsDue(registry: Registry, resource: string): Promise<boolean> {
  const key = await freshKey(registry, parseKeyName(resource));
  if (key === undefined) return false;
  if (await usesAreHigh(registry, key)) return true;
  if (key.rotationPeriodSeconds === 0) return false;
  return key.rotatedAt.getTime() + key.rotationPeriodSeconds * 1000 <= registry.now.getTime();
}

/** @throws DomainError `denied` */
export async function requirePermission(
  registry: Registry,
  identity: Identity,
  permission: string,
  resource: string,
): Promise<void> {
  const decision = await decidePermission(registry, identity, permission, resource);
  if (!decision.allowed) throw new DomainError("denied", decision.reason);
}

/**
 * What a caller sees in a list; `within` one keyring, or everywhere where that is empty.
 * @throws DomainError `denied` where its roles reach nothing there
 */
export async function requireReach(
  registry: Registry,
  identity: Identity,
  permission: Permission,
  within: string,
): Promise<Reach> {
  const resource = within === "" ? "*" : within;
  const bindings = await bindingsInLists(registry, identity, permission);
  const decision =
    identity.kind === "claviger"
      ? await decidePermission(registry, identity, permission, resource)
      : decideForCaller(identity, permission, resource, bindings);
  if (decision.allowed) return "everything";
  const reach = reachOf(permission, bindings);
  if (reach === "everything") return reach;
  const keys = reach.keys.filter((name) => within === "" || name.startsWith(`${within}/`));
  const keyrings = reach.keyrings.filter((name) => within === "" || name === within);
  if (keys.length + keyrings.length === 0) {
    throw new DomainError("denied", decision.reason, {
      hint: "an administrator can grant a role: claviger access grant ROLE --to IDENTITY --on KEYRING[/KEY]",
    });
  }
  return { keyrings, keys };
}

/** Those whose conditions are met, as if they had none. */
async function bindingsInLists(
  registry: Registry,
  identity: Identity,
  permission: Permission,
): Promise<Binding[]> {
  if (identity.kind === "claviger") return [];
  const holdings = await freshHoldings(registry, identity.uri);
  const counting = await bindingsForLists(registry, holdings, { identity, permission, at: registry.now });
  return counting.map((binding) => ({ ...binding, condition: "" }));
}
