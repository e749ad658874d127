import type { Command } from "commander";
import { argument, defineCommand, present } from "../define-command.ts";
import { properties, shortIdentity, table } from "../output.ts";
import { shortTime } from "../plain.ts";
import { everyPage } from "../session.ts";

export function register(program: Command): void {
  const keyrings = program.command("keyrings").description("make and show keyrings");
  registerCreate(keyrings);
  registerList(keyrings);
  registerShow(keyrings);
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
        ]);
        const rows = found.generations.map(({ generation, createdAt }) => [generation, shortTime(createdAt)]);
        return `${facts}\n\n${table(["GENERATION", "CREATED"], rows, "no generations")}`;
      });
    },
  });
}
