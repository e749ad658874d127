import type { Command } from "commander";
import { parseWholeNumber } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { standardStream, writeOutput } from "../files.ts";

const bytesMax = 65_536;
const secretMode = 0o600;

export function register(program: Command): void {
  defineCommand<{ out?: string }>(program, {
    usage: "random <bytes>",
    description: "random bytes from the HSM: hexadecimal on stdout, or raw in a file",
    examples: ["random 32", "random 4096 --out seed.bin"],
    options: [["--out <file>", "where to write them raw, readable by you alone"]],
    async run(session, positional, { out }) {
      const sizeBytes = parseWholeNumber(argument(positional), "the number of bytes", {
        min: 1,
        max: bytesMax,
      });
      const { random } = await (await session.connect()).cryptography.generateRandom({ sizeBytes });
      if (out === undefined || (session.json && out === standardStream)) {
        const hex = Buffer.from(random).toString("hex");
        session.answer({ bytes: random.length, random, hex }, () => hex);
        return;
      }
      writeOutput(out, random, { mode: secretMode });
      if (out === standardStream) return;
      session.answer({ bytes: random.length, out }, () => "");
      session.notice(`wrote ${random.length} bytes to ${out}`);
    },
  });
}
