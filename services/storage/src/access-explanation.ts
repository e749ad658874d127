import type { Identity } from "@claviger/identity";
import { decidePermission } from "./access.ts";
import type { AccessDecision } from "./access-rules.ts";
import { rulesFor } from "./approvals.ts";
import { whyRevoked } from "./freshness.ts";
import { conditionText } from "./policy-trial.ts";
import { standingOf } from "./posture.ts";
import type { Registry } from "./registry.ts";
import { roles } from "./roles.ts";
import { strengthsOf } from "./store/identity-strengths.ts";

/** A permission also by the name that the methods have: cryptography.decrypt is keys.decrypt. */
export function permissionNamed(text: string): string {
  return text.replace(/^(cryptography|key)\./, "keys.");
}

/** The decision with the row that makes it, for people: what it rests on, or what is wanting. */
export async function explainAccess(
  registry: Registry,
  identity: Identity,
  { at, permission, resource }: { permission: string; resource: string; at: Date },
): Promise<AccessDecision> {
  const decision = await decidePermission(registry, identity, permission, resource, at);
  const revoked = await whyRevoked(registry, [`identity:${identity.uri}`]);
  if (revoked !== undefined) return { allowed: false, reason: revoked };
  return { ...decision, reason: await sentence(registry, identity, decision, { at, permission, resource }) };
}

async function sentence(
  registry: Registry,
  identity: Identity,
  decision: AccessDecision,
  { at, permission, resource }: { permission: string; resource: string; at: Date },
): Promise<string> {
  const { allowed, reason } = decision;
  const condition = conditionText(decision);
  if (!allowed) {
    return `${reason}${condition}${reason.startsWith("no role") ? nearest(permission, resource) : ""}`;
  }
  const rules = identity.kind === "claviger" ? [] : await rulesFor(registry, permission, resource);
  const wants = rules.map(({ groupName, required }) => `${required} of group ${groupName}`).join(" and ");
  const below = identity.kind === "claviger" ? "" : await belowFloor(registry, identity, at);
  return `${reason}${condition}${wants === "" ? "" : `; each time with the approval of ${wants}`}${below}`;
}

/** A role is of no use to who is refused for how they authenticate: as they were seen to, of late. */
async function belowFloor(registry: Registry, identity: Identity, at: Date): Promise<string> {
  const standing = await standingOf(registry);
  const seen = (await strengthsOf(registry.tx, registry.columns, identity.uri)).map(standing);
  const refused = seen.filter(({ refusedFrom }) => refusedFrom !== undefined && refusedFrom <= at);
  const [first] = refused;
  if (first === undefined) return "";
  const which = refused.length === seen.length ? "it is refused" : "some of its connections are refused";
  return `; but ${which}, being below the floor: ${first.below.join("; ")}`;
}

/** The smallest grant that would change a no. */
function nearest(permission: string, resource: string): string {
  const fitting = Object.entries(roles)
    .filter(([, role]) => (role.permissions as readonly string[]).includes(permission))
    .sort(([, one], [, other]) => one.permissions.length - other.permissions.length);
  const [role] = fitting[0] ?? [];
  return role === undefined ? "" : `; missing: role ${role} on ${resource}`;
}
