import type { Claviger } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { standardStream, writeOutput } from "../files.ts";
import { properties } from "../output.ts";

export function registerAttest(keys: Command): void {
  defineCommand<{ out?: string }>(keys, {
    usage: "attest <keyring/key[@version]>",
    description: "how a version came to be, signed when it was made, with the signer's certificates",
    examples: ["keys attest payments/cards@1 --out attestation.json"],
    options: [["--out <file>", "where to; stdout by default"]],
    async run(session, positional, { out = standardStream }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const claviger = await session.connect();
      const answer = await claviger.keyGeneration.attestKey(reference);
      const facts = factsOf(Buffer.from(answer.record).toString("utf8"), answer);
      const attestation = await attestationOf(claviger, answer);
      writeOutput(out, `${JSON.stringify(attestation, null, 2)}\n`);
      if (out === standardStream) return;
      session.answer({ ...facts, out }, () =>
        properties(Object.entries(facts).map(([name, value]) => [name, String(value)] as const)),
      );
      session.notice(`wrote the attestation of ${answer.name}@${answer.version} to ${out}`);
    },
  });
}

/** Signed, and verified offline as every attestation is. */
export function registerDestructionCertificate(keys: Command): void {
  defineCommand<{ out?: string }>(keys, {
    usage: "destruction-certificate <keyring/key>",
    description: "that a key is gone, who let go of it, and until when an old copy may still open",
    examples: ["keys destruction-certificate payments/cards --out destroyed.json"],
    options: [["--out <file>", "where to; stdout by default"]],
    async run(session, positional, { out = standardStream }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const claviger = await session.connect();
      const answer = await claviger.keyGeneration.attestDestruction({ name });
      const facts = JSON.parse(Buffer.from(answer.record).toString("utf8")) as DestructionFacts;
      writeOutput(out, `${JSON.stringify(await attestationOf(claviger, answer), null, 2)}\n`);
      if (out === standardStream) return;
      const generations = facts.keyringGenerations.map(
        ({ destroyedInTokenAt, generation }) =>
          `${generation}: ${destroyedInTokenAt ?? "still in the token"}`,
      );
      session.answer({ ...facts, out }, () =>
        properties([
          ["key", facts.name],
          ["destroyed", facts.destroyedAt],
          ["held nowhere after", facts.heldNowhereAfter],
          ["acknowledged by", facts.acknowledgedBy.map(({ replica }) => replica).join(", ") || "nobody yet"],
          ["keyring's key", generations.join("; ") || "none was needed"],
          ["last backup expires", facts.lastBackupExpiresAt ?? "none was made before"],
        ]),
      );
    },
  });
}

interface DestructionFacts {
  name: string;
  destroyedAt: string;
  heldNowhereAfter: string;
  acknowledgedBy: { replica: string; at: string }[];
  keyringGenerations: { generation: number; destroyedInTokenAt: string | null }[];
  lastBackupExpiresAt: string | null;
}

/** The file of docs/formats.md, which verifies offline. */
export async function attestationOf(
  { certificates }: Claviger,
  signed: { record: Uint8Array; signature: Uint8Array; signerVersion: number },
): Promise<Record<"record" | "signature" | "signer" | "certificateChain", string>> {
  const { certificateChain } = await certificates.getAttestationCertificate({
    version: signed.signerVersion,
  });
  return {
    record: Buffer.from(signed.record).toString("utf8"),
    signature: Buffer.from(signed.signature).toString("base64"),
    signer: `system/attestation@${signed.signerVersion}`,
    certificateChain,
  };
}

/** @throws DomainError `integrity` where the record is another version's than was asked for */
function factsOf(
  text: string,
  { name, version }: { name: string; version: number },
): Record<string, unknown> {
  const facts = JSON.parse(text) as Record<string, unknown>;
  if (facts.name !== name || facts.version !== version) {
    throw new DomainError("integrity", `the generation record is not that of ${name}@${version}`, {
      hint: "the database was changed outside Claviger",
    });
  }
  return facts;
}
