import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { readInput, standardStream } from "../files.ts";
import { deliver, digestOption, messageLimits } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<{ in?: string; out?: string; digest?: boolean }>(program, {
    usage: "sign <keyring/key[@version]>",
    description: "sign a file; the generator hashes it as the key's algorithm says",
    examples: ["sign payments/signing --in order.json --out order.sig"],
    options: [
      ["--in <file>", "what is signed, at most 1 MiB; stdin by default"],
      ["--out <file>", "the signature; stdout by default"],
      digestOption,
    ],
    async run(session, positional, { digest = false, in: from = standardStream, out = standardStream }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const content = await readInput(from, messageLimits);
      const signed = digest ? { digest: content } : { message: content };
      const claviger = await session.connect();
      const { signature, version } = await claviger.cryptography.sign({ ...reference, ...signed });
      deliver(session, {
        field: "signature",
        content: signature,
        out,
        facts: { name: reference.name, version },
      });
    },
  });
}
