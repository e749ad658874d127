import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { writeOutput } from "../files.ts";
import { properties } from "../output.ts";
import { attestationOf } from "./attest.ts";

interface CeremonyFacts {
  heldAt: string;
  rightToken: string;
  token: { serial: string; model: string };
  recoveryKey: string;
  custody: { threshold: number; shares: number };
  acceptedTokens: { serial: string; insteadOf: string; acceptedAt: string }[];
}

export function register(parent: Command): void {
  defineCommand<{ out?: string }>(parent, {
    usage: "ceremony",
    description: "how the root of trust was made, signed as a key's attestation is",
    examples: ["ceremony", "ceremony --out ceremony.json"],
    options: [["--out <file>", "keep the signed transcript, which examples/verify-attestation.ts verifies"]],
    async run(session, _, { out }) {
      const claviger = await session.connect();
      const answer = await claviger.keyrings.attestCeremony({});
      const facts = JSON.parse(Buffer.from(answer.record).toString("utf8")) as CeremonyFacts;
      if (out !== undefined) {
        const attestation = await attestationOf(claviger, answer);
        writeOutput(out, `${JSON.stringify(attestation, null, 2)}\n`);
        session.notice(`wrote the signed transcript to ${out}`);
      }
      const { acceptedTokens, custody, heldAt, recoveryKey, rightToken, token } = facts;
      session.answer(facts, () =>
        properties([
          ["held at", heldAt],
          ["token", `${token.serial} (${token.model})`],
          ...acceptedTokens.map(
            ({ acceptedAt, insteadOf, serial }) =>
              ["accepted", `${serial} in the place of ${insteadOf}, ${acceptedAt}`] as const,
          ),
          ["in use", rightToken],
          ["recovery key", recoveryKey],
          ["custody", `${custody.threshold} of ${custody.shares} shares open it`],
        ]),
      );
    },
  });
}
