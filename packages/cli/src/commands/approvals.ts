import { createPrivateKey } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { signApproval } from "@claviger/approval";
import type { Approval } from "@claviger/proto/storage/v1/approval_pb.ts";
import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";

export function register(program: Command): void {
  const approvals = program
    .command("approvals")
    .description("requests that others have to consent to, and the rules");
  defineCommand<{ state?: string }>(approvals, {
    usage: "list",
    description: "what you asked for, and what waits for your groups",
    examples: ["approvals list", "approvals list --state waiting"],
    options: [["--state <state>", "waiting, approved, rejected, executed or expired"]],
    async run(session, _, { state }) {
      const claviger = await session.connect();
      const answer = await claviger.approvals.listApprovals({ state: state ?? "" });
      session.answer({ approvals: answer.approvals.map(facts) }, () =>
        table(
          ["ID", "WHAT", "ON", "REQUESTER", "STATE", "APPROVED", "UNTIL"],
          answer.approvals.map((one) => [
            one.id,
            one.permission,
            one.resource,
            shortIdentity(one.requester),
            one.state,
            `${one.votes.filter(({ approved }) => approved).length} of ${one.required}`,
            shortTime(one.expiresAt),
          ]),
          "nothing waits",
        ),
      );
    },
  });
  defineCommand(approvals, {
    usage: "show <id>",
    description: "a request whole, and who said what to it",
    examples: ["approvals show 3f1c2b7e-8a4d-4a5e-9d0f-1c2b3a4d5e6f"],
    async run(session, positional) {
      const claviger = await session.connect();
      const { approval } = await claviger.approvals.getApproval({ id: argument(positional) });
      const one = present(approval, "the approval");
      session.answer(facts(one), () => text(one));
    },
  });
  defineCommand(approvals, {
    usage: "approve <id>",
    description: "consent to a request, and sign it as it stands",
    examples: ["approvals approve 3f1c2b7e-8a4d-4a5e-9d0f-1c2b3a4d5e6f"],
    async run(session, positional) {
      const claviger = await session.connect();
      const id = argument(positional);
      const { approval } = await claviger.approvals.getApproval({ id });
      const one = present(approval, "the approval");
      const signed = { ...one, expiresAt: timestampDate(present(one.expiresAt, "the approval's end")) };
      const signature = signApproval(signed, createPrivateKey(claviger.identity.material.key));
      const answer = await claviger.approvals.approveRequest({ id, signature });
      const now = present(answer.approval, "the approval");
      session.answer(facts(now), () => text(now));
    },
  });
  defineCommand(approvals, {
    usage: "reject <id>",
    description: "say no to a request, for good",
    examples: ["approvals reject 3f1c2b7e-8a4d-4a5e-9d0f-1c2b3a4d5e6f"],
    async run(session, positional) {
      const claviger = await session.connect();
      const answer = await claviger.approvals.rejectRequest({ id: argument(positional) });
      const now = present(answer.approval, "the approval");
      session.answer(facts(now), () => text(now));
    },
  });
  registerRules(approvals);
}

function registerRules(approvals: Command): void {
  defineCommand(approvals, {
    usage: "rules",
    description: "what takes how many approvals, and whose",
    examples: ["approvals rules"],
    async run(session) {
      const { rules } = await (await session.connect()).approvals.listApprovalRules({});
      const shown = rules.map(({ group, permission, required, resource }) => ({
        permission,
        resource,
        required,
        group,
      }));
      session.answer({ rules: shown }, () =>
        table(
          ["WHAT", "ON", "APPROVALS", "OF"],
          shown.map(({ group, permission, required, resource }) => [permission, resource, required, group]),
          "nothing takes approval",
        ),
      );
    },
  });
  defineCommand<{ on: string; of: string; count: string }>(approvals, {
    usage: "require <permission>",
    description:
      "from now on it takes so many approvals of a group's members; to change a rule takes the old one's",
    examples: ["approvals require keys.destroy --on payments --count 2 --of security-officers"],
    options: [
      ["--on <resource>", "keyring, keyring/key, or '*' for everything", "required"],
      ["--count <number>", "how many members have to consent", "required"],
      ["--of <group>", "whose members; claviger access groups shows them", "required"],
    ],
    async run(session, positional, { count, of, on }) {
      const claviger = await session.connect();
      const request = {
        permission: argument(positional),
        resource: on,
        required: Number(count) || 0,
        group: of,
      };
      await claviger.approvals.setApprovalRule(request);
      session.answer(request, () => `${request.permission} on ${on} takes ${count} approvals of group ${of}`);
    },
  });
  defineCommand<{ on: string }>(approvals, {
    usage: "release <permission>",
    description: "take a rule away; that takes the approvals that it asks for",
    examples: ["approvals release keys.destroy --on payments"],
    options: [["--on <resource>", "as the rule says it", "required"]],
    async run(session, positional, { on }) {
      const request = { permission: argument(positional), resource: on };
      await (await session.connect()).approvals.removeApprovalRule(request);
      session.answer(request, () => `${request.permission} on ${on} takes no approval any more`);
    },
  });
}

function facts({
  group,
  id,
  method,
  permission,
  request,
  required,
  requester,
  resource,
  state,
  ...one
}: Approval) {
  return {
    id,
    state,
    requester,
    method,
    permission,
    resource,
    request,
    required,
    group,
    requestSha256: Buffer.from(one.requestHash).toString("hex"),
    expiresAt: shortTime(one.expiresAt),
    votes: one.votes.map(({ approved, at, identity }) => ({ identity, approved, at: shortTime(at) })),
  };
}

function text(approval: Approval): string {
  const one = facts(approval);
  return [
    properties([
      ["id", one.id],
      ["state", one.state],
      ["requester", one.requester],
      ["permission", one.permission],
      ["on", one.resource],
      ["method", one.method],
      ["request", one.request],
      ["SHA-256", one.requestSha256],
      ["takes", `${one.required} of group ${one.group}`],
      ["until", one.expiresAt],
    ]),
    table(
      ["WHO", "SAID", "AT"],
      one.votes.map(({ approved, at, identity }) => [shortIdentity(identity), approved ? "yes" : "no", at]),
      "nobody has said anything yet",
    ),
  ].join("\n\n");
}
