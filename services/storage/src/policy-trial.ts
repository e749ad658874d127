import { setImmediate } from "node:timers/promises";
import { isPermission, permissions } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { parseIdentity } from "@claviger/identity";
import { type AccessDecision, decideForCaller } from "./access-rules.ts";
import { conditionsFor, type KeyReader, keyReader } from "./access-view.ts";
import { whyRevoked } from "./freshness.ts";
import { checkResource } from "./names.ts";
import { type AccessPolicy, holdingsIn } from "./policy-change.ts";
import type { Registry } from "./registry.ts";
import { listAccessCallers } from "./store/access-callers.ts";

export interface Question {
  identity: string;
  permission: string;
  resource: string;
  at: Date;
}

export interface Answer {
  allowed: boolean;
  reason: string;
}

export interface Outcome {
  before: Answer;
  after: Answer;
}

export const callersSinceMilliseconds = 30 * 86_400_000;
const callersMax = 10_000;
const changedCallersMax = 1000;
/** Then storage does something else for a moment. */
const questionsOfTurn = 200;

/** @throws DomainError `invalid-argument` */
export function checkQuestion(question: Question): Question {
  const { identity, permission, resource } = question;
  if (!isPermission(permission)) {
    throw new DomainError("invalid-argument", `"${permission.slice(0, 40)}" is not a permission`, {
      hint: `permissions are ${permissions.join(", ")}`,
    });
  }
  return { ...question, identity: parseIdentity(identity).uri, resource: checkResource(resource || "*") };
}

/** Decides by two policies, as they stand in memory: what roles give, without emergencies and approvals. */
export class PolicyTrial {
  readonly #registry: Registry;
  readonly #keyOf: KeyReader;
  readonly #before: ReturnType<typeof holdingsIn>;
  readonly #after: ReturnType<typeof holdingsIn>;

  constructor(registry: Registry, before: AccessPolicy, after: AccessPolicy) {
    this.#registry = registry;
    this.#keyOf = keyReader(registry);
    this.#before = holdingsIn(before);
    this.#after = holdingsIn(after);
  }

  async ask(question: Question): Promise<Outcome> {
    return {
      before: await this.#decide(this.#before, question),
      after: await this.#decide(this.#after, question),
    };
  }

  /** What would be decided otherwise for who has called within the last 30 days. */
  async callers(): Promise<{
    asked: number;
    incomplete: boolean;
    changed: (Outcome & { question: Question; lastAskedAt: Date })[];
  }> {
    const { columns, now, tx } = this.#registry;
    const since = new Date(now.getTime() - callersSinceMilliseconds);
    const rows = await listAccessCallers(tx, columns, since, callersMax + 1);
    let asked = 0;
    const changed: (Outcome & { question: Question; lastAskedAt: Date })[] = [];
    for (const { identity, lastAskedAt, permission, resource } of rows.slice(0, callersMax)) {
      const question = { identity, permission, resource, at: now };
      asked += 1;
      if (asked % questionsOfTurn === 0) await setImmediate();
      const outcome = await this.ask(question);
      if (outcome.before.allowed !== outcome.after.allowed)
        changed.push({ ...outcome, question, lastAskedAt });
    }
    return {
      asked,
      incomplete: rows.length > callersMax || changed.length > changedCallersMax,
      changed: changed.slice(0, changedCallersMax),
    };
  }

  async #decide(
    holdingsOf: ReturnType<typeof holdingsIn>,
    { at, identity: uri, permission, resource }: Question,
  ): Promise<Answer> {
    const identity = parseIdentity(uri);
    if (identity.kind === "claviger") {
      return { allowed: false, reason: "services have grants of their own, which no policy changes" };
    }
    const holdings = holdingsOf(uri);
    const conditionOf = await conditionsFor(this.#keyOf, holdings, { identity, permission, resource, at });
    const decision = decideForCaller(identity, permission, resource, holdings.bindings, conditionOf);
    return { allowed: decision.allowed, reason: `${decision.reason}${conditionText(decision)}` };
  }
}

export function conditionText({ binding, conditionValue }: AccessDecision): string {
  if (conditionValue === undefined) return "";
  const isValue = conditionValue === "true" || conditionValue === "false";
  return `: ${binding?.condition} ${isValue ? `is ${conditionValue}` : `has no value, since ${conditionValue}`}`;
}

/** Whether a policy leaves an administrator, as is asked again of the rows once it is applied. */
export async function leavesAdministrator(registry: Registry, policy: AccessPolicy): Promise<boolean> {
  const administers = policy.bindings.filter(
    ({ condition, resource, role }) => condition === "" && resource === "*" && role === "administrator",
  );
  for (const { identity } of administers) {
    const holders = identity.startsWith("group:")
      ? policy.members.filter(({ group }) => `group:${group}` === identity)
      : [{ identity }];
    for (const holder of holders) {
      if ((await whyRevoked(registry, [`identity:${holder.identity}`])) === undefined) return true;
    }
  }
  return false;
}
