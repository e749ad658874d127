import type { Command } from "commander";
import { parseMoment } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";
import { register as registerEmergency } from "./access-emergency.ts";
import { register as registerGroups } from "./access-groups.ts";
import { register as registerPolicy } from "./access-policy.ts";
import { register as registerPosture } from "./access-posture.ts";

const resourceOption = [
  "--on <resource>",
  "keyring, keyring/key, or '*' for everything",
  "required",
] as const;

export function register(program: Command): void {
  const access = program.command("access").description("who may do what, and why");
  registerRoles(access);
  registerGroups(access);
  registerBindings(access);
  registerGrant(access);
  registerRevoke(access);
  registerExplain(access);
  registerLint(access);
  registerPolicy(access);
  registerEmergency(access);
  registerPosture(access);
}

/** A group's name is taken as it is. */
function holderUri(session: Session, name: string): Promise<string> {
  return name.startsWith("group:") ? Promise.resolve(name) : session.identityUri(name);
}

function registerRoles(access: Command): void {
  defineCommand(access, {
    usage: "roles",
    description: "the roles, and what each permits",
    examples: ["access roles"],
    async run(session) {
      const { roles } = await (await session.connect()).access.listRoles({});
      session.answer({ roles }, () =>
        roles
          .map((role) => `${role.name}: ${role.description}\n  ${role.permissions.join(", ")}`)
          .join("\n\n"),
      );
    },
  });
}

function registerBindings(access: Command): void {
  defineCommand<{ who?: string }>(access, {
    usage: "bindings",
    description: "who has which role on what",
    examples: ["access bindings", "access bindings --who user/alice"],
    options: [["--who <identity>", "one identity's alone: billing, user/alice or a whole SPIFFE ID"]],
    async run(session, _, { who }) {
      const identity = who === undefined ? "" : await holderUri(session, who);
      const claviger = await session.connect();
      const bindings = await everyPage(
        (page) => claviger.access.listBindings({ identity, ...page }),
        (response) => response.bindings,
      );
      session.answer({ bindings }, () => {
        const rows = bindings.map((binding) => [
          shortIdentity(binding.identity),
          binding.role,
          binding.resource,
          binding.condition,
          shortIdentity(binding.createdBy),
          shortTime(binding.createdAt),
        ]);
        return table(["IDENTITY", "ROLE", "ON", "WHEN", "BY", "SINCE"], rows, "no bindings");
      });
      // The answer is given: advice that cannot be had is no failure of it.
      const { advice } = await claviger.access.lintConditions({}).catch(() => ({ advice: [] }));
      if (advice.length > 0) {
        session.notice(
          `warning: ${advice.length === 1 ? "one condition" : `${advice.length} places where conditions`} could be said more simply: claviger access lint`,
        );
      }
    },
  });
}

function registerGrant(access: Command): void {
  defineCommand<{ to: string; on: string; when?: string }>(access, {
    usage: "grant <role>",
    description: "give an identity a role on a keyring, a key, or everything",
    examples: [
      "access grant user --to billing --on payments/cards",
      "access grant auditor --to user/alice --on '*'",
      "access grant user --to group:payments-team --on payments",
      `access grant user --to batch --on payments --when 'now.getHours("Europe/Berlin") < 6 && key.purpose == "encrypt-decrypt"'`,
    ],
    options: [
      ["--to <identity>", "billing, user/alice or a whole SPIFFE ID", "required"],
      resourceOption,
      ["--when <expression>", "a condition in CEL under which it counts (docs/conditions.md)"],
    ],
    async run(session, positional, { to, on, when }) {
      if (when?.trim() === "")
        throw usageError("the condition is empty", "leave --when out for a role without one");
      const identity = await holderUri(session, to);
      const claviger = await session.connect();
      const role = argument(positional);
      const answer = await claviger.access.grantRole({ role, identity, resource: on, condition: when ?? "" });
      const binding = present(answer.binding, "the binding");
      session.answer(binding, () => {
        const under = binding.condition === "" ? "" : `, when ${binding.condition}`;
        return `${binding.identity} is ${binding.role} on ${binding.resource}${under}`;
      });
    },
  });
}

function registerRevoke(access: Command): void {
  defineCommand<{ from?: string; to?: string; on: string }>(access, {
    usage: "revoke <role>",
    description: "take a role away",
    examples: ["access revoke user --from billing --on payments/cards"],
    options: [
      ["--from <identity>", "billing, user/alice or a whole SPIFFE ID"],
      ["--to <identity>", "the same as --from, so that a grant can be undone by changing one word"],
      resourceOption,
    ],
    async run(session, positional, { from, to, on }) {
      const who = from ?? to;
      if (who === undefined || (from !== undefined && to !== undefined)) {
        throw usageError("whose role is to be taken away is not clear", "say it once, with --from");
      }
      const identity = await holderUri(session, who);
      const role = argument(positional);
      await (await session.connect()).access.revokeRole({ role, identity, resource: on });
      session.answer({ role, identity, resource: on }, () => `${identity} is no longer ${role} on ${on}`);
    },
  });
}

function registerExplain(access: Command): void {
  defineCommand<{ who: string; may: string; on: string; at?: string }>(access, {
    usage: "explain",
    description: "may they? The answer, and the row that decides it",
    examples: [
      "access explain --who billing --may keys.decrypt --on payments/cards",
      "access explain --who billing --may keys.decrypt --on payments/cards --at 2026-12-24T20:00:00Z",
    ],
    options: [
      ["--who <identity>", "billing, user/alice or a whole SPIFFE ID", "required"],
      ["--may <permission>", "such as keys.decrypt", "required"],
      resourceOption,
      ["--at <moment>", "when conditions are asked about it: 2026-01-31T12:00:00Z; now where left out"],
    ],
    async run(session, _, { who, may, on, at }) {
      const identity = await session.identityUri(who);
      const claviger = await session.connect();
      const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
      const answer = await claviger.access.explainAccess({
        identity,
        permission: may,
        resource: on,
        ...(at === undefined ? {} : { at: timestampFromDate(parseMoment(at, "--at")) }),
      });
      session.answer(answer, () => `${answer.allowed ? "yes" : "no"}: ${answer.reason}`);
    },
  });
}

function registerLint(access: Command): void {
  defineCommand(access, {
    usage: "lint",
    description: "counts the conditions, and says where a role, a group or a narrower grant would do",
    examples: ["access lint"],
    async run(session) {
      const answer = await (await session.connect()).access.lintConditions({});
      session.answer(answer, () => {
        const { advice, bindings, conditions } = answer;
        const lines = advice.map(({ about, suggestion }) => `${about}: ${suggestion}`);
        return [`${conditions} of ${bindings} bindings have a condition`, ...lines].join("\n");
      });
    },
  });
}
