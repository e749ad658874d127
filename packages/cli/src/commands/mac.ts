import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { readInput, standardStream } from "../files.ts";
import { deliver, messageLimits } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<{ in?: string; out?: string }>(program, {
    usage: "mac <keyring/key[@version]>",
    description: "make the tag of a file with a key for HMAC",
    examples: ["mac payments/integrity --in order.json --out order.tag"],
    options: [
      ["--in <file>", "what is authenticated, at most 1 MiB; stdin by default"],
      ["--out <file>", "the tag; stdout by default"],
    ],
    async run(session, positional, { in: from = standardStream, out = standardStream }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const message = await readInput(from, messageLimits);
      const { tag, version } = await (await session.connect()).cryptography.mac({ ...reference, message });
      deliver(session, { field: "tag", content: tag, out, facts: { name: reference.name, version } });
    },
  });
}
