import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseWholeNumber } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { standardStream, writeOutput } from "../files.ts";
import { pinFilesOf, readPin } from "../log-pin.ts";
import { createProof, formatProof, verifyProofFile } from "../proof-file.ts";

export function registerProof(audit: Command): void {
  defineCommand<{ out?: string }>(audit, {
    usage: "proof <sequence>",
    description:
      "a record with the proof that it is in the log, as a file that can be verified without Claviger",
    examples: ["audit proof 42 --out proof.json", "audit proof last --out proof.json"],
    options: [["--out <file>", "where to; stdout by default"]],
    async run(session, positional, { out = standardStream }) {
      const text = argument(positional);
      const range = { min: 0, max: Number.MAX_SAFE_INTEGER };
      const asked =
        text === "last" ? undefined : BigInt(parseWholeNumber(text, "the sequence number", range));
      const claviger = await session.connect();
      const sequence = asked ?? (await newestSequence(() => claviger.audit.searchRecords({ pageSize: 1 })));
      const answer = await claviger.audit.getInclusionProof({ sequence });
      const { sequence: told, leaf, personal, salt } = present(answer.record, "the record");
      const { hashes, checkpoint } = answer;
      const proof = createProof({ sequence: told, leaf, personal, salt, hashes, checkpoint });
      if (told !== sequence) {
        throw new DomainError("integrity", `the log answered with record ${told} instead of ${sequence}`);
      }
      const { verifierKey } = readPin(pinFilesOf(await session.configPath()));
      // Better refused here than found out by whoever is shown the file.
      if (verifierKey !== undefined) verifyProofFile(Buffer.from(formatProof(proof)), verifierKey);
      if (out === standardStream) return session.answer(proof, () => formatProof(proof));
      writeOutput(out, formatProof(proof));
      session.answer({ sequence, out }, () => "");
      session.notice(
        `wrote the proof of record ${sequence} to ${out}: claviger audit verify --offline ${out}`,
      );
    },
  });
}

async function newestSequence(
  search: () => Promise<{ records: readonly { sequence: bigint }[] }>,
): Promise<bigint> {
  const [newest] = (await search()).records;
  if (newest === undefined) throw new DomainError("not-found", "the log has no records that you may see");
  return newest.sequence;
}
