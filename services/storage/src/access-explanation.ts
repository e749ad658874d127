import type { Identity } from "@claviger/identity";
import { decidePermission } from "./access.ts";
import type { AccessDecision } from "./access-rules.ts";
import { rulesFor } from "./approvals.ts";
import { conditionText } from "./policy-trial.ts";
import type { Registry } from "./registry.ts";
import { roles } from "./roles.ts";

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
  return { ...decision, reason: await sentence(registry, identity, decision, { permission, resource }) };
}

async function sentence(
  registry: Registry,
  identity: Identity,
  decision: AccessDecision,
  { permission, resource }: { permission: string; resource: string },
): Promise<string> {
  const { allowed, reason } = decision;
  const condition = conditionText(decision);
  if (!allowed) {
    return `${reason}${condition}${reason.startsWith("no role") ? nearest(permission, resource) : ""}`;
  }
  const rules = identity.kind === "claviger" ? [] : await rulesFor(registry, permission, resource);
  const wants = rules.map(({ groupName, required }) => `${required} of group ${groupName}`).join(" and ");
  return `${reason}${condition}${wants === "" ? "" : `; each time with the approval of ${wants}`}`;
}

/** The smallest grant that would change a no. */
function nearest(permission: string, resource: string): string {
  const fitting = Object.entries(roles)
    .filter(([, role]) => (role.permissions as readonly string[]).includes(permission))
    .sort(([, one], [, other]) => one.permissions.length - other.permissions.length);
  const [role] = fitting[0] ?? [];
  return role === undefined ? "" : `; missing: role ${role} on ${resource}`;
}
