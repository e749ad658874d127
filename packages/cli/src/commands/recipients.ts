import { registerRecipient } from "@claviger/client";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { shortIdentity, table } from "../output.ts";
import { relativeTime, shortTime } from "../plain.ts";
import { everyPage } from "../session.ts";

export function register(program: Command): void {
  const recipients = program
    .command("recipients")
    .description("public keys of identities, to which keys for them are sealed");
  defineCommand<{ fresh?: boolean }>(recipients, {
    usage: "register",
    description: "register this identity's key, making it where there is none; again to prolong it",
    examples: ["recipients register", "recipients register --fresh"],
    options: [["--fresh", "a new key in the place of the old, which still opens what was sealed to it"]],
    async run(session, _, { fresh = false }) {
      const claviger = await session.connect();
      const recipient = await registerRecipient(claviger, { fresh });
      session.answer(
        recipient,
        () =>
          `${shortIdentity(recipient.identity)} receives keys under ${recipient.keyId}, until ${shortTime(recipient.notAfter)}`,
      );
    },
  });
  defineCommand(recipients, {
    usage: "list",
    description: "who has registered a key",
    examples: ["recipients list"],
    async run(session) {
      const claviger = await session.connect();
      const found = await everyPage(
        (page) => claviger.recipients.listRecipients(page),
        (page) => page.recipients,
      );
      session.answer({ recipients: found }, () =>
        table(
          ["IDENTITY", "KEY", "REGISTERED", "ENDS"],
          found.map(({ identity, keyId, notAfter, registeredAt }) => [
            shortIdentity(identity),
            keyId,
            shortTime(registeredAt),
            notAfter === undefined ? "" : relativeTime(notAfter),
          ]),
          "nobody: each identity registers its own with claviger recipients register",
        ),
      );
    },
  });
}
