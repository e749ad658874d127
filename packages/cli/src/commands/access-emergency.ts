import type { Emergency } from "@claviger/proto/storage/v1/emergency_pb.ts";
import type { Command } from "commander";
import { parseDuration } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";

const who = ["--who <identity>", "billing, user/alice or a whole SPIFFE ID", "required"] as const;
const on = ["--on <resource>", "keyring, keyring/key, or '*' for everything", "required"] as const;
const role = ["--role <role>", "which role", "required"] as const;

export function register(access: Command): void {
  const emergency = access
    .command("emergency")
    .description("roles that are taken in an emergency, for a time, and looked at afterwards");
  registerList(emergency);
  registerOpen(emergency);
  registerEnds(emergency);
  registerRules(emergency);
}

function facts(one: Emergency) {
  return {
    id: one.id,
    state: one.state,
    identity: one.identity,
    role: one.role,
    resource: one.resource,
    reason: one.reason,
    openedAt: shortTime(one.openedAt),
    expiresAt: shortTime(one.expiresAt),
    ...(one.endedAt === undefined ? {} : { endedAt: shortTime(one.endedAt), endedBy: one.endedBy }),
    ...(one.reviewedAt === undefined
      ? {}
      : {
          reviewedAt: shortTime(one.reviewedAt),
          reviewedBy: one.reviewedBy,
          verdict: one.verdict,
          note: one.note,
        }),
  };
}

function registerList(emergency: Command): void {
  defineCommand<{ all?: boolean }>(emergency, {
    usage: "list",
    description: "emergencies that are open, or wait for their review",
    examples: ["access emergency list", "access emergency list --all"],
    options: [["--all", "those as well that were reviewed"]],
    async run(session, _, { all }) {
      const claviger = await session.connect();
      const { emergencies } = await claviger.emergencies.listEmergencies({ unreviewed: all !== true });
      session.answer({ emergencies: emergencies.map(facts) }, () =>
        table(
          ["ID", "STATE", "WHO", "ROLE", "ON", "UNTIL", "REASON", "VERDICT"],
          emergencies.map((one) => [
            one.id,
            one.state,
            shortIdentity(one.identity),
            one.role,
            one.resource,
            shortTime(one.endedAt ?? one.expiresAt),
            one.reason,
            one.verdict,
          ]),
          all === true ? "no emergencies" : "no emergency is open, and none waits for its review",
        ),
      );
    },
  });
}

function registerOpen(emergency: Command): void {
  defineCommand<{ role: string; on: string; reason: string; for?: string }>(emergency, {
    usage: "open",
    description: "take a role that a rule names you for; everybody who watches is told",
    examples: [
      'access emergency open --role administrator --on payments --reason "database down, INC-4711" --for 30m',
    ],
    options: [
      role,
      on,
      ["--reason <text>", "what has happened; it is kept, and looked at afterwards", "required"],
      ["--for <duration>", "30m; what the rule gives where left out"],
    ],
    async run(session, _, options) {
      const seconds = options.for === undefined ? 0 : parseDuration(options.for, "--for");
      if (seconds % 60 !== 0) throw usageError("--for counts whole minutes", "write it as 30m or 1h");
      const claviger = await session.connect();
      const answer = await claviger.emergencies.openEmergency({
        role: options.role,
        resource: options.on,
        reason: options.reason,
        minutes: seconds / 60,
      });
      const one = present(answer.emergency, "the emergency");
      session.answer(
        facts(one),
        () =>
          `emergency ${one.id}: ${one.role} on ${one.resource} until ${shortTime(one.expiresAt)}\nclaviger access emergency close ${one.id} ends it before; somebody else reviews it then`,
      );
    },
  });
}

function registerEnds(emergency: Command): void {
  defineCommand(emergency, {
    usage: "close <id>",
    description: "end an emergency before its time",
    examples: ["access emergency close 3f1c2b7e-8a4d-4a5e-9d0f-1c2b3a4d5e6f"],
    async run(session, positional) {
      const claviger = await session.connect();
      const answer = await claviger.emergencies.closeEmergency({ id: argument(positional) });
      const one = present(answer.emergency, "the emergency");
      session.answer(facts(one), () => `emergency ${one.id} has ended, and waits for its review`);
    },
  });
  defineCommand<{ verdict: string; note: string }>(emergency, {
    usage: "review <id>",
    description: "say of another's emergency, once it has ended, whether it was justified",
    examples: [
      'access emergency review 3f1c2b7e-8a4d-4a5e-9d0f-1c2b3a4d5e6f --verdict justified --note "as INC-4711 says"',
    ],
    options: [
      ["--verdict <verdict>", "justified or unjustified", "required"],
      ["--note <text>", "what you looked at", "required"],
    ],
    async run(session, positional, { note, verdict }) {
      if (verdict !== "justified" && verdict !== "unjustified") {
        throw usageError(
          "--verdict is neither justified nor unjustified",
          "claviger audit search --key … shows what was done",
        );
      }
      const claviger = await session.connect();
      const answer = await claviger.emergencies.reviewEmergency({
        id: argument(positional),
        justified: verdict === "justified",
        note,
      });
      const one = present(answer.emergency, "the emergency");
      session.answer(facts(one), () => `emergency ${one.id} is reviewed: ${one.verdict}`);
    },
  });
}

function registerRules(emergency: Command): void {
  defineCommand(emergency, {
    usage: "rules",
    description: "who may take which role",
    examples: ["access emergency rules"],
    async run(session) {
      const claviger = await session.connect();
      const { rules } = await claviger.emergencies.listEmergencyRules({});
      session.answer({ rules }, () =>
        table(
          ["WHO", "ROLE", "ON", "MINUTES", "BY", "SINCE"],
          rules.map((rule) => [
            shortIdentity(rule.identity),
            rule.role,
            rule.resource,
            rule.minutesMax,
            shortIdentity(rule.createdBy),
            shortTime(rule.createdAt),
          ]),
          "nobody is named for emergencies",
        ),
      );
    },
  });
  defineCommand<{ who: string; role: string; on: string; for: string }>(emergency, {
    usage: "allow",
    description: "name who may take a role in an emergency, and for how long",
    examples: ["access emergency allow --who user/alice --role administrator --on payments --for 1h"],
    options: [who, role, on, ["--for <duration>", "for how long at most: 1h", "required"]],
    async run(session, _, options) {
      const minutesMax = Math.floor(parseDuration(options.for, "--for") / 60);
      const identity = await session.identityUri(options.who);
      const claviger = await session.connect();
      const wanted = { identity, role: options.role, resource: options.on, minutesMax };
      const { rule } = await claviger.emergencies.setEmergencyRule(wanted);
      session.answer(
        present(rule, "the rule"),
        () =>
          `${identity} may be ${options.role} on ${options.on} in an emergency, for ${minutesMax} minutes`,
      );
    },
  });
  defineCommand<{ who: string; role: string; on: string }>(emergency, {
    usage: "forbid",
    description: "take such a rule back; what is open stays open until it is closed",
    examples: ["access emergency forbid --who user/alice --role administrator --on payments"],
    options: [who, role, on],
    async run(session, _, options) {
      const identity = await session.identityUri(options.who);
      const claviger = await session.connect();
      const wanted = { identity, role: options.role, resource: options.on };
      await claviger.emergencies.removeEmergencyRule(wanted);
      session.answer(wanted, () => `${identity} is not named for ${options.role} on ${options.on} any more`);
    },
  });
}
