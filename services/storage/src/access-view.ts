import type { Identity } from "@claviger/identity";
import type { Binding, ConditionOf } from "./access-rules.ts";
import { permits } from "./access-rules.ts";
import { type Condition, compileCondition } from "./condition-language.ts";
import {
  type ConditionFacts,
  type ConditionValue,
  conditionValue,
  type KeyFacts,
} from "./condition-value.ts";
import { freshKey } from "./freshness.ts";
import { detailsOf } from "./key-details.ts";
import { isKeyName, parseKeyName } from "./names.ts";
import type { Registry } from "./registry.ts";

/** What decisions about one identity are made from, as it is or as it would be. */
export interface Holdings {
  bindings: readonly Binding[];
  groups: readonly string[];
}

export interface Occasion {
  identity: Identity;
  permission: string;
  resource: string;
  at: Date;
}

export type KeyReader = (resource: string) => Promise<KeyFacts | undefined>;

/** Each key is read once. */
export function keyReader(registry: Registry): KeyReader {
  const known = new Map<string, Promise<KeyFacts | undefined>>();
  return (resource) => {
    const facts = known.get(resource) ?? keyFacts(registry, resource);
    known.set(resource, facts);
    return facts;
  };
}

/** What conditions come to; the key is looked at only where one of them asks about it. */
export async function conditionsFor(
  keyOf: KeyReader,
  { bindings, groups }: Holdings,
  { at, identity, permission, resource }: Occasion,
): Promise<ConditionOf> {
  const concerned = bindings.filter(
    (binding) => binding.condition !== "" && permits(binding, permission, resource),
  );
  if (concerned.length === 0) return () => unreadable;
  const conditions = new Map(concerned.map((binding) => [binding.condition, readable(binding.condition)]));
  const asks = [...conditions.values()].some((condition) => condition?.asksAbout.has("key") === true);
  const facts: ConditionFacts = {
    permission,
    resource,
    caller: { id: identity.uri, kind: identity.kind, name: identity.name, groups },
    key: asks ? await keyOf(resource) : undefined,
  };
  return ({ condition: text }) => {
    const condition = conditions.get(text);
    return condition === undefined ? unreadable : conditionValue(condition, facts, at);
  };
}

const unreadable: ConditionValue = {
  holds: false,
  text: "it cannot be evaluated: this version of Claviger does not take it",
  unchangedMilliseconds: undefined,
};

/** What was written by another version may say what this one does not understand: that is a no. */
function readable(text: string): Condition | undefined {
  try {
    return compileCondition(text);
  } catch {
    return undefined;
  }
}

async function keyFacts(registry: Registry, resource: string): Promise<KeyFacts | undefined> {
  if (!isKeyName(resource)) return undefined;
  const key = await freshKey(registry, parseKeyName(resource));
  if (key === undefined) return undefined;
  const { algorithm, exportable, keyring, name, protection, purpose } = key;
  const { labels, owner } = detailsOf(registry.columns, key);
  return { algorithm, exportable, keyring, name, owner, protection, purpose, labels };
}

/**
 * The bindings that count for a list: without a condition, or with one that is met. One on more than a key must not ask
 * about keys, since a list would show those too that it leaves out.
 */
export async function bindingsForLists(
  registry: Registry,
  holdings: Holdings,
  occasion: Omit<Occasion, "resource">,
): Promise<Binding[]> {
  const keyOf = keyReader(registry);
  const counting: Binding[] = [];
  for (const binding of holdings.bindings) {
    if (binding.condition === "" || (await countsForLists(keyOf, holdings, occasion, binding))) {
      counting.push(binding);
    }
  }
  return counting;
}

async function countsForLists(
  keyOf: KeyReader,
  holdings: Holdings,
  occasion: Omit<Occasion, "resource">,
  binding: Binding,
): Promise<boolean> {
  const asksAbout = readable(binding.condition)?.asksAbout;
  const aboutKeys = asksAbout?.has("key") === true || asksAbout?.has("resource") === true;
  if (aboutKeys && !binding.resource.includes("/")) return false;
  const conditionOf = await conditionsFor(keyOf, holdings, { ...occasion, resource: binding.resource });
  return conditionOf(binding).holds;
}
