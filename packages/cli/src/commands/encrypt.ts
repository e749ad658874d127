import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { readInput, standardStream } from "../files.ts";
import { associatedDataOption, deliver, plaintextLimits, type TransformOptions } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<TransformOptions>(program, {
    usage: "encrypt <keyring/key>",
    description: "encrypt with a key's current version; the ciphertext says which that was",
    examples: [
      "encrypt payments/cards --in card.txt --out card.enc --aad customer-17",
      "encrypt payments/cards <card.txt >card.enc",
    ],
    options: [
      ["--in <file>", "the plaintext, at most 1 MiB; stdin by default"],
      ["--out <file>", "the ciphertext; stdout by default"],
      associatedDataOption,
    ],
    async run(session, positional, { in: from = standardStream, out = standardStream, aad = "" }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const plaintext = await readInput(from, plaintextLimits);
      const associatedData = Buffer.from(aad, "utf8");
      const claviger = await session.connect();
      const { ciphertext, version } = await claviger.cryptography.encrypt({
        name,
        plaintext,
        associatedData,
      });
      deliver(session, { field: "ciphertext", content: ciphertext, out, facts: { name, version } });
    },
  });
}
