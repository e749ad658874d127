import type { Condition } from "./condition-language.ts";
import type { TimeDependence } from "./condition-reader.ts";

/** What a condition is asked about; `now` counts in whole seconds. */
export interface ConditionFacts {
  permission: string;
  resource: string;
  caller: { id: string; kind: string; name: string; groups: readonly string[] };
  /** Where `resource` is a key that there is. */
  key: KeyFacts | undefined;
}

export interface KeyFacts {
  keyring: string;
  name: string;
  purpose: string;
  algorithm: string;
  protection: string;
  exportable: boolean;
  owner: string;
  labels: Readonly<Record<string, string>>;
}

export interface ConditionValue {
  holds: boolean;
  /** "true", "false", or why there is no value, which is taken for a no. */
  text: string;
  /** By itself it stays what it is for so long; undefined where time changes nothing. */
  unchangedMilliseconds: number | undefined;
}

/** Longer than any service holds an answer. */
const horizonMilliseconds = 60_000;
const momentsMax = 12;

/** Its value now, and for how long that is its value where nothing but time goes on. */
export function conditionValue(condition: Condition, facts: ConditionFacts, now: Date): ConditionValue {
  const { holds, text } = valueAt(condition, facts, now.getTime());
  const moments = momentsAfter(condition.time, now.getTime());
  if (moments === undefined) return { holds, text, unchangedMilliseconds: undefined };
  const change = moments.find((moment) => valueAt(condition, facts, moment).holds !== holds);
  const until = change ?? moments.at(-1) ?? now.getTime() + horizonMilliseconds;
  return { holds, text, unchangedMilliseconds: until - now.getTime() };
}

function valueAt(condition: Condition, facts: ConditionFacts, at: number): { holds: boolean; text: string } {
  const now = new Date(Math.floor(at / 1000) * 1000);
  try {
    const { caller, key, permission, resource } = facts;
    const known = { now, permission, resource, caller: { ...caller, groups: [...caller.groups] } };
    const value: unknown = condition.evaluate(
      key === undefined ? known : { ...known, key: { ...key, labels: { ...key.labels } } },
    );
    return { holds: value === true, text: String(value) };
  } catch (error) {
    if (condition.asksAbout.has("key") && facts.key === undefined) {
      return { holds: false, text: `${facts.resource} is not a key that there is` };
    }
    const { message, summary } = error as { message: string; summary?: string };
    return { holds: false, text: `it cannot be evaluated: ${summary ?? message}` };
  }
}

/** Every moment within the horizon at which it might change, but for those after the first few; undefined where never. */
function momentsAfter({ grain, moments }: TimeDependence, now: number): number[] | undefined {
  if (grain === "none" && moments.length === 0) return undefined;
  const wholeSeconds = moments.flatMap((moment) => [
    Math.ceil(moment / 1000) * 1000,
    // A comparison of whole seconds with "equal" or "not later" ends with the second.
    (Math.floor(moment / 1000) + 1) * 1000,
  ]);
  const grainMilliseconds = grain === "minute" ? 60_000 : 1000;
  const first = (Math.floor(now / grainMilliseconds) + 1) * grainMilliseconds;
  const steps = grain === "none" ? 0 : grain === "minute" ? 1 : momentsMax;
  const regular = Array.from({ length: steps }, (_, step) => first + step * grainMilliseconds);
  const all = [...new Set([...wholeSeconds, ...regular])]
    .filter((moment) => moment > now && moment <= now + horizonMilliseconds)
    .sort((one, other) => one - other);
  const kept = all.slice(0, momentsMax);
  // Where nothing is cut off, nothing happens until the horizon.
  const cut = all.length > kept.length || grain === "second";
  return cut ? kept : [...kept, now + horizonMilliseconds];
}
