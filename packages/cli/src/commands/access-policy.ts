import { createInterface } from "node:readline/promises";
import type { Claviger } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type {
  PolicyDifference,
  PolicyOutcome,
  TestPolicyResponse,
} from "@claviger/proto/storage/v1/policy_pb.ts";
import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { exitCodeOfKind, usageError } from "../errors.ts";
import { readInput, standardStream } from "../files.ts";
import { printable, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { type Expectation, type PolicyChange, type PolicyFile, parsePolicyFile } from "../policy-file.ts";
import type { Session } from "../session.ts";

const fileBytesMax = 1_048_576;
const questionsOfCall = 1000;

export function register(access: Command): void {
  registerTest(access);
  registerSet(access);
}

function registerTest(access: Command): void {
  defineCommand<{ policy?: string; callers: boolean }>(access, {
    usage: "test <file>",
    description: "holds a policy against expectations, and against who has called within the last 30 days",
    examples: ["access test payments.yaml", "access test expectations.yaml --policy proposed.yaml"],
    options: [
      ["--policy <file>", "the proposed policy, where it is in another file"],
      ["--no-callers", "without what would change for who has called"],
    ],
    async run(session, positional, { callers, policy }) {
      const file = await readPolicy(session, argument(positional));
      const proposed = policy === undefined ? file : await readPolicy(session, policy);
      if (policy !== undefined && file.change !== undefined) {
        throw usageError("both files have a policy", "leave it out of one, or leave out --policy");
      }
      const claviger = await session.connect();
      const answer = await testPolicy(claviger, proposed.change, file.expectations, callers);
      const rows = file.expectations.map((expectation, at) => {
        const { after, before } = present(answer.outcomes[at], "an outcome");
        const allowed = present(after, "an answer").allowed;
        return { expectation, after, before, holds: allowed === expectation.allow };
      });
      const failed = rows.filter(({ holds }) => !holds);
      const refused = answer.refusal !== "";
      const document = {
        expectations: rows.map(({ expectation: { allow, ...question }, ...row }) => ({
          ...question,
          expect: allow ? "allow" : "deny",
          ...row,
        })),
        failed: failed.length,
        ...withoutOutcomes(answer),
      };
      session.answer(document, () =>
        [
          expectationsText(rows),
          ...(proposed.change === undefined
            ? []
            : [differenceText(answer.difference), callersText(answer, callers)]),
          ...(refused ? [`it would be refused: ${answer.refusal}`] : []),
        ].join("\n\n"),
      );
      if (failed.length > 0 || refused) process.exitCode = exitCodeOfKind["failed-precondition"];
    },
  });
}

function registerSet(access: Command): void {
  defineCommand<{ yes?: boolean }>(access, {
    usage: "set <file>",
    description: "applies a policy as a whole, after showing what it changes",
    examples: ["access set payments.yaml", "access set payments.yaml --yes"],
    options: [["--yes", "without asking"]],
    async run(session, positional, { yes }) {
      const path = argument(positional);
      const { change } = await readPolicy(session, path);
      if (change === undefined)
        throw usageError(`${path} has no policy`, "docs/policies.md shows what one has");
      const claviger = await session.connect();
      const answer = await testPolicy(claviger, change, [], true);
      const difference = present(answer.difference, "the difference");
      session.notice(`${differenceText(difference)}\n\n${callersText(answer, true)}`);
      if (isEmpty(difference))
        return session.answer({ applied: false, difference }, () => "there is nothing to change");
      if (answer.refusal !== "") {
        const hint = "change the file; claviger access test shows it as well";
        throw new DomainError("failed-precondition", `the policy is refused: ${answer.refusal}`, { hint });
      }
      if (yes !== true && !(await agreed(session, path))) {
        return session.answer({ applied: false, difference }, () => "nothing was changed");
      }
      const applied = await claviger.policy.setPolicy({ change, base: difference.base });
      session.answer({ applied: true, difference: applied.difference }, () => "applied");
    },
  });
}

async function readPolicy(session: Session, path: string): Promise<PolicyFile> {
  const bytes = await readInput(path, { bytesMax: fileBytesMax, what: "a policy" });
  return parsePolicyFile(bytes.toString("utf8"), (name) =>
    name.startsWith("group:") ? Promise.resolve(name) : session.identityUri(name),
  );
}

/** Questions in calls of a bounded size; the rest of the answer from the first. */
async function testPolicy(
  claviger: Claviger,
  change: PolicyChange | undefined,
  expectations: readonly Expectation[],
  callers: boolean,
): Promise<TestPolicyResponse> {
  const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
  const questions = expectations.map(({ at, identity, permission, resource }) => ({
    identity,
    permission,
    resource,
    ...(at === undefined ? {} : { at: timestampFromDate(at) }),
  }));
  const proposed = change === undefined ? {} : { change };
  const first = await claviger.policy.testPolicy({
    ...proposed,
    questions: questions.slice(0, questionsOfCall),
    callers: callers && change !== undefined,
  });
  const outcomes: PolicyOutcome[] = [...first.outcomes];
  for (let at = questionsOfCall; at < questions.length; at += questionsOfCall) {
    const more = await claviger.policy.testPolicy({
      ...proposed,
      questions: questions.slice(at, at + questionsOfCall),
    });
    outcomes.push(...more.outcomes);
  }
  return { ...first, outcomes };
}

async function agreed(session: Session, path: string): Promise<boolean> {
  if (session.json || path === standardStream || process.stdin.isTTY !== true) {
    throw usageError("nobody is asked here whether to apply it", "say --yes");
  }
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await prompt.question("apply it? [y/N] ")).trim());
  } finally {
    prompt.close();
  }
}

function isEmpty(difference: PolicyDifference): boolean {
  const { addedBindings, addedMembers, removedBindings, removedMembers } = difference;
  return addedBindings.length + addedMembers.length + removedBindings.length + removedMembers.length === 0;
}

function withoutOutcomes({
  outcomes: _,
  ...answer
}: TestPolicyResponse): Omit<TestPolicyResponse, "outcomes"> {
  return answer;
}

interface Row extends PolicyOutcomeOf {
  expectation: Expectation;
  holds: boolean;
}
type PolicyOutcomeOf = Pick<PolicyOutcome, "before" | "after">;

function expectationsText(rows: readonly Row[]): string {
  if (rows.length === 0) return "no expectations";
  const failed = rows.filter(({ holds }) => !holds);
  const lines = rows.map(({ after, before, expectation, holds }) => [
    holds ? "ok" : "FAILED",
    shortIdentity(expectation.identity),
    expectation.permission,
    expectation.resource,
    expectation.allow ? "allow" : "deny",
    before?.allowed === after?.allowed ? "" : `was ${before?.allowed === true ? "allowed" : "denied"}`,
  ]);
  const reasons = failed.map(
    ({ after, expectation }) =>
      `${shortIdentity(expectation.identity)} ${expectation.permission} on ${expectation.resource}: ${printable(after?.reason ?? "")}`,
  );
  const summary =
    failed.length === 0
      ? `all ${rows.length} expectations hold`
      : `${failed.length} of ${rows.length} expectations fail:`;
  const headers = ["", "WHO", "MAY", "ON", "EXPECT", "BEFORE"];
  return [table(headers, lines, ""), "", [summary, ...reasons].join("\n")].join("\n");
}

function differenceText(difference: PolicyDifference | undefined): string {
  if (difference === undefined || isEmpty(difference)) return "the policy changes nothing";
  const binding = (sign: string) => (row: PolicyDifference["addedBindings"][number]) =>
    `${sign} ${row.role} for ${shortIdentity(row.identity)} on ${row.resource}${row.condition === "" ? "" : ` when ${row.condition}`}`;
  const member = (sign: string) => (row: PolicyDifference["addedMembers"][number]) =>
    `${sign} ${shortIdentity(row.identity)} in group ${row.group}`;
  return [
    "the policy changes:",
    ...difference.removedBindings.map(binding("-")),
    ...difference.addedBindings.map(binding("+")),
    ...difference.removedMembers.map(member("-")),
    ...difference.addedMembers.map(member("+")),
  ]
    .map(printable)
    .join("\n");
}

function callersText(answer: TestPolicyResponse, asked: boolean): string {
  if (!asked) return "who has called was not looked at";
  const note = answer.callersIncomplete ? " (there were more than could be looked at)" : "";
  const of = `of ${answer.callers} that were allowed within the last 30 days${note}`;
  if (answer.changedCallers.length === 0) return `nothing changes ${of}`;
  const rows = answer.changedCallers.map(({ after, lastCalledAt, question }) => [
    shortIdentity(question?.identity ?? ""),
    question?.permission,
    question?.resource,
    after?.allowed === true ? "allowed" : "DENIED",
    shortTime(lastCalledAt),
  ]);
  return `${answer.changedCallers.length} change ${of}:\n${table(["WHO", "MAY", "ON", "FROM NOW ON", "LAST CALLED"], rows, "")}`;
}
