import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { hashRequest, once } from "@claviger/idempotency";
import {
  type PolicyChange as ChangeMessage,
  type PolicyQuestion,
  type PolicyService,
  SetPolicyRequestSchema,
  type SetPolicyResponse,
  SetPolicyResponseSchema,
} from "@claviger/proto/storage/v1/policy_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { permissionNamed } from "../access-explanation.ts";
import { applyPolicy, readPolicy, whyNotApplied } from "../policy-application.ts";
import { checkChange, differenceOf, digestOf, type PolicyDifference, policyAfter } from "../policy-change.ts";
import { checkQuestion, PolicyTrial, type Question } from "../policy-trial.ts";
import type { Registry } from "../registry.ts";
import { momentOf } from "./moments.ts";

const questionsMax = 1000;

export function policyHandlers(options: {
  open: (tx: Transaction) => Registry;
  trustDomain: string;
}): Handlers<typeof PolicyService, Transaction> {
  const { open, trustDomain } = options;
  return {
    async testPolicy(request, { note, unit }) {
      const registry = open(unit);
      if (request.questions.length > questionsMax) {
        throw new DomainError("invalid-argument", `at most ${questionsMax} questions are answered at once`);
      }
      const questions = request.questions.map((question) =>
        checkQuestion(questionOf(question, registry.now)),
      );
      const change = checkChange(changeOf(request.change), trustDomain);
      const current = await readPolicy(registry);
      const difference = differenceOf(current, change);
      const after = policyAfter(current, difference);
      const trial = new PolicyTrial(registry, current, after);
      const outcomes = [];
      for (const question of questions) outcomes.push(await trial.ask(question));
      const callers = request.callers ? await trial.callers() : undefined;
      note({ questions: questions.length, callers: callers?.asked ?? 0 });
      return {
        difference: differenceMessage(difference, digestOf(current)),
        outcomes,
        callers: callers?.asked ?? 0,
        callersIncomplete: callers?.incomplete ?? false,
        changedCallers: (callers?.changed ?? []).map(({ lastAskedAt, question, ...outcome }) => ({
          ...outcome,
          question: { ...question, at: timestampFromDate(question.at) },
          lastCalledAt: timestampFromDate(lastAskedAt),
        })),
        refusal: (await whyNotApplied(registry, difference, after)) ?? "",
      };
    },
    async setPolicy(request, context) {
      const registry = open(context.unit);
      const change = checkChange(changeOf(request.change), trustDomain);
      const caller = { caller: context.caller.uri, requestId: request.requestId };
      const hashed = { ...caller, requestHash: hashRequest(SetPolicyRequestSchema, request) };
      const { response } = await once(registry, hashed, SetPolicyResponseSchema, async () => {
        const { base, difference } = await applyPolicy(registry, change, {
          by: context.caller,
          base: request.base,
        });
        return create(SetPolicyResponseSchema, { difference: differenceMessage(difference, base) });
      });
      context.note({ scope: change.scope, ...counts(response) });
      return response;
    },
  };
}

function counts({ difference }: SetPolicyResponse): Record<string, number> {
  return {
    addedBindings: difference?.addedBindings.length ?? 0,
    removedBindings: difference?.removedBindings.length ?? 0,
    addedMembers: difference?.addedMembers.length ?? 0,
    removedMembers: difference?.removedMembers.length ?? 0,
  };
}

function questionOf({ at, identity, permission, resource }: PolicyQuestion, now: Date): Question {
  return { identity, permission: permissionNamed(permission), resource, at: momentOf(at, now) };
}

/** None is no change. */
function changeOf(change: ChangeMessage | undefined) {
  return (
    change ?? {
      scope: "*",
      complete: false,
      bindings: [],
      removedBindings: [],
      groups: [],
      addedMembers: [],
      removedMembers: [],
    }
  );
}

function differenceMessage(difference: PolicyDifference, base: Uint8Array) {
  const binding = ({ condition, identity, resource, role }: PolicyDifference["addedBindings"][number]) => ({
    condition,
    identity,
    resource,
    role,
  });
  return {
    ...difference,
    addedBindings: difference.addedBindings.map(binding),
    removedBindings: difference.removedBindings.map(binding),
    base: new Uint8Array(base),
  };
}
