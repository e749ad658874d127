import type { Command } from "commander";
import { parseDuration, parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { rotationText } from "../key-text.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime, type TimestampLike } from "../plain.ts";
import { everyPage } from "../session.ts";
import { registerSubscriptions } from "./rotation-subscribers.ts";
import { registerWatch } from "./rotation-watch.ts";

export function register(program: Command): void {
  const rotation = program.command("rotation").description("when keys rotate, and who has followed");
  registerPolicies(rotation);
  registerSet(rotation);
  registerPlan(rotation);
  registerStatus(rotation);
  registerSubscriptions(rotation);
  registerWatch(rotation);
}

function registerPolicies(rotation: Command): void {
  defineCommand(rotation, {
    usage: "policies",
    description: "the keys that rotate by themselves, and when next",
    examples: ["rotation policies"],
    async run(session) {
      const claviger = await session.connect();
      const policies = await everyPage(
        (page) => claviger.rotation.listRotationPolicies(page),
        (response) => response.policies,
      );
      session.answer({ policies }, () => {
        const rows = policies.map((policy) => [
          policy.name,
          rotationText(policy.rotationPeriodSeconds),
          shortTime(policy.lastRotatedAt),
          shortTime(policy.nextRotationAt),
          policy.lastError,
        ]);
        const headers = ["KEY", "ROTATES", "LAST", "NEXT", "LAST ERROR"];
        return table(headers, rows, "no key rotates by itself: claviger rotation set R/K --every 90d");
      });
    },
  });
}

function registerSet(rotation: Command): void {
  defineCommand<{ every: string }>(rotation, {
    usage: "set <keyring/key>",
    description: "let a key rotate by itself, or no longer",
    examples: ["rotation set payments/cards --every 90d", "rotation set payments/cards --every never"],
    options: [["--every <duration>", "such as 90d, or never", "required"]],
    async run(session, positional, { every }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const rotationPeriodSeconds = every === "never" ? 0n : BigInt(parseDuration(every, "--every"));
      const claviger = await session.connect();
      const answer = await claviger.keys.setRotationPeriod({ name, rotationPeriodSeconds });
      const key = present(answer.key, "the key");
      session.answer(key, () => `${key.name} rotates ${rotationText(key.rotationPeriodSeconds)}`);
    },
  });
}

function registerPlan(rotation: Command): void {
  defineCommand(rotation, {
    usage: "plan <keyring/key>",
    description: "what the next rotation of a key will be, and who has to follow it",
    examples: ["rotation plan payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const plan = await (await session.connect()).rotation.planRotation({ name });
      session.answer(plan, () =>
        properties([
          ["key", plan.name],
          ["next version", plan.nextVersion],
          [
            "next rotation",
            plan.nextRotationAt === undefined ? "on request" : shortTime(plan.nextRotationAt),
          ],
          ["waits for", plan.subscribers.map(shortIdentity).join(", ") || "nobody"],
        ]),
      );
    },
  });
}

interface RolloutView {
  name: string;
  version: number;
  rotatedAt?: TimestampLike | undefined;
  state: string;
  subscribers: readonly { identity: string; acknowledgedAt?: TimestampLike | undefined }[];
}

function registerStatus(rotation: Command): void {
  defineCommand(rotation, {
    usage: "status [keyring/key]",
    description: "how far the world has followed the rotations",
    examples: ["rotation status", "rotation status payments/cards"],
    async run(session, positional) {
      const name = positional[0] === undefined ? "" : parseKeyReference(positional[0], "none").name;
      const claviger = await session.connect();
      const rollouts = await everyPage(
        (page) => claviger.rotation.getRotationStatus({ name, ...page }),
        (response) => response.rollouts,
      );
      session.answer({ rollouts }, () => {
        const headers = ["KEY", "VERSION", "ROTATED", "STATE", "ACKNOWLEDGED", "WAITS FOR"];
        return table(headers, rollouts.map(rolloutRow), "no rotations yet");
      });
    },
  });
}

function rolloutRow({ name, version, rotatedAt, state, subscribers }: RolloutView): (string | number)[] {
  const waiting = subscribers.filter(({ acknowledgedAt }) => acknowledgedAt === undefined);
  const done = `${subscribers.length - waiting.length} of ${subscribers.length}`;
  const names = waiting.map(({ identity }) => shortIdentity(identity)).join(", ");
  return [name, version, shortTime(rotatedAt), state, done, names];
}
