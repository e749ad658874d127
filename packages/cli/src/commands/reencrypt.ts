import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { readInput, standardStream } from "../files.ts";
import { associatedDataOption, ciphertextLimits, deliver, type TransformOptions } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<TransformOptions>(program, {
    usage: "reencrypt <keyring/key>",
    description: "encrypt a ciphertext anew with the key's current version, unseen by you",
    examples: ["reencrypt payments/cards --in card.enc --out card.enc2 --aad customer-17"],
    options: [
      ["--in <file>", "the ciphertext; stdin by default"],
      ["--out <file>", "the new ciphertext; stdout by default"],
      associatedDataOption,
    ],
    async run(session, positional, { in: from = standardStream, out = standardStream, aad = "" }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const ciphertext = await readInput(from, ciphertextLimits);
      const associatedData = Buffer.from(aad, "utf8");
      const claviger = await session.connect();
      const answer = await claviger.cryptography.reencrypt({ name, ciphertext, associatedData });
      const { previousVersion, version } = answer;
      const facts = { name, version, previousVersion };
      deliver(session, { field: "ciphertext", content: answer.ciphertext, out, facts });
    },
  });
}
