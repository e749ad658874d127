import { type AccessQuestion, isPermission, type Permission, permissions } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { type Identity, parseIdentity } from "@claviger/identity";
import {
  type AccessDecision,
  type Binding,
  decideForCaller,
  decideForService,
  neverUnderCondition,
  type Reach,
  reachOf,
} from "./access-rules.ts";
import { bindingsForLists, conditionsFor, keyReader } from "./access-view.ts";
import { rulesFor } from "./approvals.ts";
import { freshHoldings, freshKey, freshUnreviewed, whyRevoked } from "./freshness.ts";
import { parseKeyName } from "./names.ts";
import { judgeStrength } from "./posture.ts";
import type { Registry } from "./registry.ts";
import { type EmergencyRow, stateOfEmergency, unreviewedMax } from "./store/emergencies.ts";
import { usesAreHigh } from "./uses.ts";

/** May this caller do this? First whether it has been revoked, then grants or bindings. */
export async function decideAccess(registry: Registry, question: AccessQuestion): Promise<AccessDecision> {
  const identity = parseIdentity(question.identity);
  const revoked = await whyRevoked(registry, [
    `identity:${identity.uri}`,
    `serial:${question.certificateSerial}`,
  ]);
  if (revoked !== undefined) return { allowed: false, reason: revoked };
  // Services are not told apart by a floor: their certificates come from here, and nobody could raise it without them.
  const exempt = identity.kind === "claviger" || question.renewal === true;
  const strength = exempt ? {} : await judgeStrength(registry, question.authentication);
  if (strength.refusal !== undefined) return { allowed: false, reason: strength.refusal };
  return until(strength.unchangedMilliseconds, await decideWithApproval(registry, identity, question));
}

async function decideWithApproval(
  registry: Registry,
  identity: Identity,
  { permission, resource }: AccessQuestion,
): Promise<AccessDecision> {
  if (permission === "") return { allowed: true, reason: "not revoked" };
  const decision = await decidePermission(registry, identity, permission, resource);
  if (!decision.allowed || identity.kind === "claviger") return decision;
  const rules = await rulesFor(registry, permission, resource);
  return rules.length === 0 ? decision : { ...decision, needsApproval: true };
}

/** What ends sooner. */
function until(milliseconds: number | undefined, decision: AccessDecision): AccessDecision {
  const { unchangedMilliseconds = Number.POSITIVE_INFINITY } = decision;
  const least = Math.min(milliseconds ?? Number.POSITIVE_INFINITY, unchangedMilliseconds);
  return least === Number.POSITIVE_INFINITY ? decision : { ...decision, unchangedMilliseconds: least };
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
  const conditionOf = await conditionsFor(keyReader(registry), holdings, {
    identity,
    permission,
    resource,
    at,
  });
  const decision = decideForCaller(identity, permission, resource, holdings.bindings, conditionOf);
  if (decision.allowed || neverUnderCondition.has(permission)) return decision;
  return (await decideByEmergency(registry, identity, { permission, resource, at })) ?? decision;
}

/** By a role that is taken for an emergency, whatever the others are; undefined where none permits. */
async function decideByEmergency(
  registry: Registry,
  identity: Identity,
  { at, permission, resource }: { permission: string; resource: string; at: Date },
): Promise<AccessDecision | undefined> {
  const open = await openEmergencies(registry, identity.uri, at);
  const bindings = open.map(bindingOfEmergency);
  const decision = decideForCaller(identity, permission, resource, bindings);
  if (!decision.allowed) return undefined;
  // The one that lasts longest, of those that permit it.
  const [row] = open
    .filter((one) => decideForCaller(identity, permission, resource, [bindingOfEmergency(one)]).allowed)
    .sort((one, other) => other.expiresAt.getTime() - one.expiresAt.getTime());
  const { expiresAt, id, reason } = row!;
  return {
    allowed: true,
    reason: `emergency ${id} gives ${decision.reason} until ${expiresAt.toISOString()}: ${reason}`,
    binding: bindingOfEmergency(row!),
    emergency: id,
    unchangedMilliseconds: expiresAt.getTime() - at.getTime(),
  };
}

async function openEmergencies(registry: Registry, identity: string, at: Date): Promise<EmergencyRow[]> {
  const rows = await freshUnreviewed(registry, identity, unreviewedMax);
  return rows.filter((row) => row.openedAt <= at && stateOfEmergency(row, at) === "open");
}

function bindingOfEmergency({ id, identity, resource, role }: EmergencyRow): Binding {
  return { id, identity, resource, role, condition: "" };
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
  const emergencies = await openEmergencies(registry, identity.uri, registry.now);
  return [
    ...counting.map((binding) => ({ ...binding, condition: "" })),
    ...(neverUnderCondition.has(permission) ? [] : emergencies.map(bindingOfEmergency)),
  ];
}
