import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { readInput, standardStream } from "../files.ts";
import { associatedDataOption, ciphertextLimits, deliver, type TransformOptions } from "../transform.ts";

const plaintextMode = 0o600;

export function register(program: Command): void {
  defineCommand<TransformOptions>(program, {
    usage: "decrypt <keyring/key>",
    description: "decrypt with the version that the ciphertext names",
    examples: [
      "decrypt payments/cards --in card.enc --out card.txt --aad customer-17",
      "decrypt payments/cards <card.enc",
    ],
    options: [
      ["--in <file>", "the ciphertext; stdin by default"],
      ["--out <file>", "the plaintext, readable by you alone; stdout by default"],
      associatedDataOption,
    ],
    async run(session, positional, { in: from = standardStream, out = standardStream, aad = "" }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const ciphertext = await readInput(from, ciphertextLimits);
      const associatedData = Buffer.from(aad, "utf8");
      const claviger = await session.connect();
      const { plaintext, version } = await claviger.cryptography.decrypt({
        name,
        ciphertext,
        associatedData,
      });
      deliver(session, {
        field: "plaintext",
        content: plaintext,
        out,
        mode: plaintextMode,
        facts: { name, version },
      });
    },
  });
}
