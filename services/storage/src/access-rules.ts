import type { Permission } from "@claviger/access";
import type { Identity } from "@claviger/identity";
import { shortName } from "@claviger/identity";
import type { ConditionValue } from "./condition-value.ts";
import { systemKeyring } from "./names.ts";
import { type BuiltInRole, isRole, roles } from "./roles.ts";

export interface Binding {
  id: string;
  role: string;
  identity: string;
  resource: string;
  /** CEL; empty: always. */
  condition: string;
}

export interface AccessDecision {
  allowed: boolean;
  /** A sentence that names the deciding row. */
  reason: string;
  binding?: Binding;
  /** The emergency that the role is taken for. */
  emergency?: string;
  /** Of the binding's condition: "true", "false" or why it has no value. */
  conditionValue?: string;
  /** Others have to consent besides. */
  needsApproval?: boolean;
  /** For how long time alone leaves the decision as it is; undefined where it does for ever. */
  unchangedMilliseconds?: number;
}

/** What a binding's condition comes to. */
export type ConditionOf = (binding: Binding) => ConditionValue;

const unconditional: ConditionValue = { holds: true, text: "", unchangedMilliseconds: undefined };
const needsNoCondition: ConditionOf = ({ condition }) =>
  condition === "" ? unconditional : { ...unconditional, holds: false };

/**
 * What gives others, or oneself under another name, a power that would outlast the condition: whoever may grant until
 * six o'clock could grant themselves the same for ever.
 */
export const neverUnderCondition: ReadonlySet<string> = new Set([
  "access.grant",
  "identities.enroll",
  "authorities.manage",
  "exchange.manage",
]);

/** A Claviger service may do this, on these keys, and nothing else (invariant 11). */
interface ServiceGrant {
  readonly service: string;
  readonly permissions: readonly Permission[];
  readonly resources: RegExp;
  readonly condition?: "rotation-is-due";
}

const serviceGrants: readonly ServiceGrant[] = [
  { service: "generator", permissions: ["keyrings.create"], resources: /^system$/ },
  {
    service: "generator",
    permissions: ["keys.create", "keys.get", "keys.hold"],
    resources: /^system\/(attestation|session-tickets|session-groups)$/,
  },
  {
    service: "distribution",
    permissions: ["keys.public"],
    resources: /^system\/(attestation|session-tickets)$/,
  },
  // To have keys made and sealed by others' signed requests: not to sign with the key.
  { service: "distribution", permissions: ["keys.distribute"], resources: /^system\/session-tickets$/ },
  {
    service: "distribution",
    permissions: ["keys.create", "keys.sign", "keys.public", "keys.get", "keys.hold"],
    resources: /^system\/ca-[a-z0-9-]+$/,
  },
  {
    service: "audit",
    permissions: ["keys.create", "keys.public", "keys.get", "keys.hold"],
    resources: /^system\/audit-checkpoint$/,
  },
  { service: "rotation", permissions: ["keys.get"], resources: /^/ },
  { service: "rotation", permissions: ["keys.rotate"], resources: /^/, condition: "rotation-is-due" },
];

/** What administrators, too, may do with Claviger's own keys: look at them, and have them wrapped anew. */
const systemKeyringPermissions: ReadonlySet<string> = new Set([
  "keyrings.get",
  "keyrings.rotate",
  "keys.get",
  "keys.public",
]);

/** Decided by having the permission on anything at all, since they act on no key. */
const anywherePermissions: ReadonlySet<string> = new Set(["random.generate"]);

export function decideForService(
  identity: Identity,
  permission: string,
  resource: string,
  rotationIsDue: () => boolean,
): AccessDecision {
  const grant = serviceGrants.find(
    (candidate) =>
      candidate.service === identity.name &&
      (candidate.permissions as readonly string[]).includes(permission) &&
      candidate.resources.test(resource),
  );
  if (grant === undefined) {
    return { allowed: false, reason: `${shortName(identity)} has no grant for ${permission} on ${resource}` };
  }
  if (grant.condition === "rotation-is-due" && !rotationIsDue()) {
    return { allowed: false, reason: `${shortName(identity)} rotates keys only when their period has ended` };
  }
  return { allowed: true, reason: `built-in grant of ${shortName(identity)}` };
}

/** Of an identity's bindings the one that permits for longest; for a no, the one whose condition stands in the way. */
export function decideForCaller(
  identity: Identity,
  permission: string,
  resource: string,
  bindings: readonly Binding[],
  conditionOf: ConditionOf = needsNoCondition,
): AccessDecision {
  const who = shortName(identity);
  const [keyring] = resource.split("/");
  if (keyring === systemKeyring && !systemKeyringPermissions.has(permission)) {
    return { allowed: false, reason: `the keys of keyring ${systemKeyring} are for Claviger's own services` };
  }
  const judged = bindings
    .filter((candidate) => permits(candidate, permission, resource))
    .map((binding) => ({ binding, value: judge(binding, permission, conditionOf) }));
  const best = judged
    .filter(({ value }) => value.holds)
    .reduce<Judged | undefined>((most, one) => (most && lasts(most) >= lasts(one) ? most : one), undefined);
  if (best !== undefined) {
    const { binding } = best;
    const under = binding.condition === "" ? "" : ", under its condition";
    const reason = `role ${binding.role} on ${binding.resource} permits ${permission} to ${who}${under}`;
    return { allowed: true, reason, ...told(best, best) };
  }
  const [nearest] = judged;
  if (nearest === undefined) {
    // The pipeline's hint about granting a role goes by these first words.
    return { allowed: false, reason: `no role permits ${permission} on ${resource} to ${who}` };
  }
  const soonest = judged.reduce((first, one) => (lasts(one) < lasts(first) ? one : first), nearest);
  const { resource: where, role } = nearest.binding;
  const why = neverUnderCondition.has(permission)
    ? `role ${role} on ${where} is under a condition, and ${permission} is never given under one`
    : `role ${role} on ${where} permits ${permission} to ${who} under a condition, which is not met`;
  return { allowed: false, reason: why, ...told(nearest, soonest) };
}

interface Judged {
  binding: Binding;
  value: ConditionValue;
}

function judge(binding: Binding, permission: string, conditionOf: ConditionOf): ConditionValue {
  if (binding.condition === "") return unconditional;
  const value = conditionOf(binding);
  return neverUnderCondition.has(permission) ? { ...value, holds: false } : value;
}

function lasts({ value }: Judged): number {
  return value.unchangedMilliseconds ?? Number.POSITIVE_INFINITY;
}

function told({ binding, value }: Judged, until: Judged): Partial<AccessDecision> {
  const { unchangedMilliseconds } = until.value;
  return {
    binding,
    ...(binding.condition === "" ? {} : { conditionValue: value.text }),
    ...(unchangedMilliseconds === undefined ? {} : { unchangedMilliseconds }),
  };
}

/** What of the registry someone may look at: all of it, or these keyrings and single keys. */
export type Reach = "everything" | { keyrings: string[]; keys: string[] };

/** Where an identity's bindings give it `permission`. */
export function reachOf(permission: string, bindings: readonly Binding[]): Reach {
  const resources = bindings
    .filter((binding) => permits(binding, permission, binding.resource))
    .map(({ resource }) => resource);
  if (resources.includes("*")) return "everything";
  return {
    keyrings: resources.filter((resource) => !resource.includes("/")),
    keys: resources.filter((resource) => resource.includes("/")),
  };
}

export function permits(binding: Binding, permission: string, resource: string): boolean {
  if (!isRole(binding.role)) return false;
  const role: BuiltInRole = roles[binding.role];
  if (!(role.permissions as readonly string[]).includes(permission)) return false;
  return anywherePermissions.has(permission) || covers(binding.resource, resource);
}

/** `*` covers everything, a keyring its keys, a key itself. */
export function covers(bound: string, resource: string): boolean {
  return bound === "*" || bound === resource || (!bound.includes("/") && resource.startsWith(`${bound}/`));
}
