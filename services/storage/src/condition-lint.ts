import type { Binding } from "./access-rules.ts";
import { type Condition, compileCondition } from "./condition-language.ts";
import { conditionValue } from "./condition-value.ts";
import { isRole, roles } from "./roles.ts";

const adviceMax = 100;
/** So many of one holder, or of the same text, are something that has a name. */
const pileMin = 3;

export interface ConditionAdvice {
  about: string;
  suggestion: string;
}

export interface ConditionLint {
  bindings: number;
  conditions: number;
  advice: ConditionAdvice[];
}

/** Conditions are read by nobody once there are many: where a role, a group or a narrower grant says the same. */
export function lintConditions(bindings: readonly Binding[]): ConditionLint {
  const conditioned = bindings.filter(({ condition }) => condition !== "");
  const advice = [...conditioned.flatMap(adviceFor), ...piles(conditioned)];
  return { bindings: bindings.length, conditions: conditioned.length, advice: advice.slice(0, adviceMax) };
}

function adviceFor(binding: Binding): ConditionAdvice[] {
  const about = `the condition of ${binding.role} for ${binding.identity} on ${binding.resource}`;
  const condition = readable(binding.condition);
  if (condition === undefined) {
    return [{ about, suggestion: "this version does not take it, so that it permits nothing: revoke it" }];
  }
  const { asksAbout } = condition;
  if (asksAbout.size === 1 && asksAbout.has("permission"))
    return [{ about, suggestion: byRole(binding, condition) }];
  if (asksAbout.size === 1 && asksAbout.has("resource")) {
    return [
      { about, suggestion: "it asks about the resource alone: grant the role on those keys or keyrings" },
    ];
  }
  if (asksAbout.size === 1 && asksAbout.has("caller")) {
    return [{ about, suggestion: "it asks about the caller alone: grant the role to those, or to a group" }];
  }
  return [];
}

/** Which built-in role permits what is left of this one, and nothing else. */
function byRole(binding: Binding, condition: Condition): string {
  const held: readonly string[] = isRole(binding.role) ? roles[binding.role].permissions : [];
  const left = held.filter((permission) => valueFor(binding, condition, permission));
  if (left.length === 0) return "it permits nothing of the role: revoke it";
  if (left.length === held.length) return "it leaves the role whole: grant it without the condition";
  const same = Object.entries(roles).find(
    ([, { permissions }]) =>
      permissions.length === left.length && permissions.every((permission) => left.includes(permission)),
  );
  if (same !== undefined) return `that is what role ${same[0]} permits: grant that`;
  const within = Object.entries(roles)
    .filter(([, { permissions }]) => left.every((name) => (permissions as readonly string[]).includes(name)))
    .sort(([, one], [, other]) => one.permissions.length - other.permissions.length)[0];
  return within === undefined || within[0] === binding.role
    ? `it makes a role of its own, of ${left.length} permissions: ${left.slice(0, 6).join(", ")}${left.length > 6 ? ", …" : ""}`
    : `role ${within[0]} permits that, and less than ${binding.role}: grant it instead`;
}

function valueFor(binding: Binding, condition: Condition, permission: string): boolean {
  const caller = { id: binding.identity, kind: "", name: "", groups: [] };
  return conditionValue(
    condition,
    { permission, resource: binding.resource, caller, key: undefined },
    new Date(0),
  ).holds;
}

function piles(conditioned: readonly Binding[]): ConditionAdvice[] {
  const byHolder = Map.groupBy(conditioned, ({ identity }) => identity);
  const byText = Map.groupBy(
    conditioned,
    ({ condition, resource, role }) => `${role}\n${resource}\n${condition}`,
  );
  return [
    ...[...byHolder]
      .filter(([holder, rows]) => rows.length >= pileMin && !holder.startsWith("group:"))
      .map(([holder, rows]) => ({
        about: `${rows.length} conditions of ${holder}`,
        suggestion: "a role on a keyring of its own would say it once",
      })),
    ...[...byText.values()]
      .filter((rows) => rows.length >= pileMin)
      .map((rows) => ({
        about: `the same condition for ${rows.length} holders of ${rows[0]!.role} on ${rows[0]!.resource}`,
        suggestion: "put them into a group, and grant the role to it once",
      })),
  ];
}

function readable(text: string): Condition | undefined {
  try {
    return compileCondition(text);
  } catch {
    return undefined;
  }
}
