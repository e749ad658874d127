import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage } from "../session.ts";

export function registerSubscriptions(rotation: Command): void {
  registerSubscribers(rotation);
  registerSubscribe(rotation);
  registerUnsubscribe(rotation);
  registerAcknowledge(rotation);
}

function registerSubscribers(rotation: Command): void {
  defineCommand(rotation, {
    usage: "subscribers [keyring/key]",
    description: "who has to follow a key's rotations",
    examples: ["rotation subscribers payments/cards"],
    async run(session, positional) {
      const name = positional[0] === undefined ? "" : parseKeyReference(positional[0], "none").name;
      const claviger = await session.connect();
      const subscribers = await everyPage(
        (page) => claviger.subscriptions.listSubscribers({ name, ...page }),
        (response) => response.subscribers,
      );
      session.answer({ subscribers }, () => {
        const rows = subscribers.map(({ identity, name: key, createdAt }) => [
          shortIdentity(identity),
          key,
          shortTime(createdAt),
        ]);
        return table(["IDENTITY", "KEY", "SINCE"], rows, "no subscribers");
      });
    },
  });
}

function registerSubscribe(rotation: Command): void {
  defineCommand(rotation, {
    usage: "subscribe <keyring/key>",
    description: "make this identity one that a key's rotations wait for",
    examples: ["rotation subscribe payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      const { subscription } = await (await session.connect()).subscriptions.subscribe({ name });
      const made = present(subscription, "the subscription");
      session.answer(made, () => `${made.identity} follows ${made.name}`);
    },
  });
}

function registerUnsubscribe(rotation: Command): void {
  defineCommand(rotation, {
    usage: "unsubscribe <keyring/key>",
    description: "let a key's rotations no longer wait for this identity",
    examples: ["rotation unsubscribe payments/cards"],
    async run(session, positional) {
      const { name } = parseKeyReference(argument(positional), "none");
      await (await session.connect()).subscriptions.unsubscribe({ name });
      session.answer({ name }, () => `this identity no longer follows ${name}`);
    },
  });
}

function registerAcknowledge(rotation: Command): void {
  defineCommand(rotation, {
    usage: "acknowledge <keyring/key@version>",
    description: "say that this identity has taken a key's new version",
    examples: ["rotation acknowledge payments/cards@2"],
    async run(session, positional) {
      const reference = parseKeyReference(argument(positional), "required");
      const answer = await (await session.connect()).subscriptions.acknowledgeRotation(reference);
      const rollout = present(answer.rollout, "the roll-out");
      session.answer(rollout, () => `${rollout.name}@${rollout.version}: ${rollout.state}`);
    },
  });
}
