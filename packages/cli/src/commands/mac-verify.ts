import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readInput, standardStream } from "../files.ts";
import { messageLimits, signatureLimits } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<{ in?: string; tag: string }>(program, {
    usage: "mac-verify <keyring/key[@version]>",
    description: "verify a tag; exits with 5 when it is not valid",
    examples: ["mac-verify payments/integrity --in order.json --tag order.tag"],
    options: [
      ["--in <file>", "what was authenticated; stdin by default"],
      ["--tag <file>", "the tag", "required"],
    ],
    async run(session, positional, { in: from = standardStream, tag: tagFrom }) {
      const reference = parseKeyReference(argument(positional), "optional");
      if (from === standardStream && tagFrom === standardStream) {
        throw usageError("--in and --tag are both stdin", "name a file for one of them");
      }
      const message = await readInput(from, messageLimits);
      const tag = await readInput(tagFrom, { ...signatureLimits, what: "a tag" });
      const claviger = await session.connect();
      const { valid, version } = await claviger.cryptography.verifyMac({ ...reference, message, tag });
      const maker = `${reference.name}@${version}`;
      if (!valid) {
        throw new DomainError("integrity", `the tag is not one of ${maker} over this file`, {
          hint: "the file or the tag was changed, or another key or version made it",
        });
      }
      session.answer({ valid, name: reference.name, version }, () => `valid: made by ${maker}`);
    },
  });
}
