import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { readInput, standardStream } from "../files.ts";
import { digestOption, messageLimits, signatureLimits } from "../transform.ts";

export function register(program: Command): void {
  defineCommand<{ in?: string; signature: string; digest?: boolean }>(program, {
    usage: "verify <keyring/key[@version]>",
    description: "verify a signature; exits with 5 when it is not valid",
    examples: ["verify payments/signing --in order.json --signature order.sig"],
    options: [
      ["--in <file>", "what was signed; stdin by default"],
      ["--signature <file>", "the signature", "required"],
      digestOption,
    ],
    async run(session, positional, { digest = false, in: from = standardStream, signature: signatureFrom }) {
      const reference = parseKeyReference(argument(positional), "optional");
      if (from === standardStream && signatureFrom === standardStream) {
        throw usageError("--in and --signature are both stdin", "name a file for one of them");
      }
      const content = await readInput(from, messageLimits);
      const signed = digest ? { digest: content } : { message: content };
      const signature = await readInput(signatureFrom, signatureLimits);
      const claviger = await session.connect();
      const { valid, version } = await claviger.cryptography.verify({
        ...reference,
        ...signed,
        signature,
      });
      const signer = `${reference.name}@${version}`;
      if (!valid) {
        throw new DomainError("integrity", `the signature is not one of ${signer} over this file`, {
          hint: "the file or the signature was changed, or another key or version signed it",
        });
      }
      session.answer({ valid, name: reference.name, version }, () => `valid: signed by ${signer}`);
    },
  });
}
