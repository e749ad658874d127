import { setTimeout as sleep } from "node:timers/promises";
import type { Claviger } from "@claviger/client";
import type { Command } from "commander";
import { parseDays } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage } from "../session.ts";

type Keyring = NonNullable<Awaited<ReturnType<Claviger["keys"]["getKeyring"]>>["keyring"]>;

const pollMilliseconds = 250;

export function register(program: Command): void {
  const keyrings = program.command("keyrings").description("make and show keyrings");
  registerCreate(keyrings);
  registerList(keyrings);
  registerShow(keyrings);
  registerRotate(keyrings);
  registerSet(keyrings);
}

function registerSet(keyrings: Command): void {
  defineCommand<{ destroyAfterMin: string }>(keyrings, {
    usage: "set <keyring>",
    description: "the shortest time that a destruction of its keys can be taken back",
    examples: [
      "keyrings set payments --destroy-after-min 60d",
      "keyrings set payments --destroy-after-min none",
    ],
    options: [
      ["--destroy-after-min <days>", "7d to 90d, whatever a key says; `none` takes it away", "required"],
    ],
    async run(session, positional, { destroyAfterMin }) {
      const name = argument(positional);
      const days = destroyAfterMin === "none" ? 0 : parseDays(destroyAfterMin, "--destroy-after-min");
      const claviger = await session.connect();
      const { keyring } = await claviger.keys.setKeyringFloor({ name, destroyAfterDaysMin: days });
      session.answer(present(keyring, "the keyring"), () =>
        days === 0
          ? `keys of ${name} are destroyed after the time that each has`
          : `keys of ${name} are destroyed after ${days} days at least`,
      );
    },
  });
}

function registerCreate(keyrings: Command): void {
  defineCommand(keyrings, {
    usage: "create <keyring>",
    description: "make a keyring, with a key-encryption key of its own in the HSM",
    examples: ["keyrings create payments"],
    async run(session, positional) {
      const claviger = await session.connect();
      const { keyring } = await claviger.keyrings.createKeyring({ name: argument(positional) });
      const made = present(keyring, "the keyring");
      session.answer(made, () => `keyring ${made.name} is there`);
    },
  });
}

function registerList(keyrings: Command): void {
  defineCommand(keyrings, {
    usage: "list",
    description: "every keyring that you may see",
    examples: ["keyrings list"],
    async run(session) {
      const claviger = await session.connect();
      const found = await everyPage(
        (page) => claviger.keys.listKeyrings(page),
        (response) => response.keyrings,
      );
      session.answer({ keyrings: found }, () => {
        const rows = found.map(({ name, createdAt, createdBy, generations }) => [
          name,
          generations.length,
          shortTime(createdAt),
          shortIdentity(createdBy),
        ]);
        return table(
          ["KEYRING", "GENERATIONS", "CREATED", "BY"],
          rows,
          "no keyrings yet: claviger keyrings create R",
        );
      });
    },
  });
}

function registerShow(keyrings: Command): void {
  defineCommand(keyrings, {
    usage: "show <keyring>",
    description: "one keyring and the generations of its key",
    examples: ["keyrings show payments"],
    async run(session, positional) {
      const claviger = await session.connect();
      const { keyring } = await claviger.keys.getKeyring({ name: argument(positional) });
      const found = present(keyring, "the keyring");
      session.answer(found, () => {
        const facts = properties([
          ["name", found.name],
          ["created", shortTime(found.createdAt)],
          ["created by", shortIdentity(found.createdBy)],
          [
            "destruction",
            found.destroyAfterDaysMin === 0 ? "" : `after ${found.destroyAfterDaysMin} days at least`,
          ],
        ]);
        const rows = found.generations.map((one, at) => [
          one.generation,
          shortTime(one.createdAt),
          generationState(one, at === found.generations.length - 1),
        ]);
        return `${facts}\n\n${table(["GENERATION", "CREATED", "STATE"], rows, "no generations")}`;
      });
    },
  });
}

function generationState(one: Keyring["generations"][number], newest: boolean): string {
  if (newest) return "current";
  if (one.destroyedAt !== undefined) return `destroyed ${shortTime(one.destroyedAt)}`;
  if (one.endedAt !== undefined) return "wraps nothing any more, is being destroyed";
  return `${one.materialsLeft} versions still under it`;
}

function registerRotate(keyrings: Command): void {
  defineCommand<{ wait: boolean }>(keyrings, {
    usage: "rotate <keyring>",
    description: "give a keyring a new key in the HSM, move every key under it, and destroy the old one",
    options: [["--no-wait", "return at once: it goes on in the background"]],
    examples: ["keyrings rotate payments", "keyrings rotate payments --no-wait"],
    async run(session, positional, { wait }) {
      const claviger = await session.connect();
      const name = argument(positional);
      const { keyring: begun } = await claviger.keyrings.rotateKeyring({ name });
      let keyring = present(begun, "the keyring");
      let told = "";
      while (wait && underWay(keyring)) {
        await sleep(pollMilliseconds);
        const answer = await claviger.keys.getKeyring({ name });
        keyring = present(answer.keyring, "the keyring");
        const left = keyring.generations.reduce((sum, one) => sum + one.materialsLeft, 0n);
        const progress = `${left} versions are still under an older key`;
        if (left > 0n && progress !== told) session.notice(progress);
        told = progress;
      }
      const generation = keyring.generations.at(-1)?.generation;
      session.answer(keyring, () =>
        underWay(keyring)
          ? `keyring ${name} has generation ${generation} of its key; how far the move is: claviger keyrings show ${name}`
          : `keyring ${name} has generation ${generation} of its key; the older ones are destroyed in the HSM`,
      );
    },
  });
}

function underWay({ generations }: Keyring): boolean {
  return generations.slice(0, -1).some(({ destroyedAt }) => destroyedAt === undefined);
}
