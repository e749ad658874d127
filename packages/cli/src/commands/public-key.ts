import { createPublicKey } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { parseChoice, parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { standardStream, writeOutput } from "../files.ts";

const formats = ["pem", "jwk", "der"] as const;
type Format = (typeof formats)[number];

export function registerPublic(keys: Command): void {
  defineCommand<{ format?: string; out?: string }>(keys, {
    usage: "public <keyring/key[@version]>",
    description: "a key's public half",
    examples: ["keys public payments/signing", "keys public payments/signing@1 --format jwk --out key.jwk"],
    options: [
      ["--format <format>", "pem (the default), jwk or der"],
      ["--out <file>", "where to; stdout by default"],
    ],
    async run(session, positional, { format: formatText = "pem", out = standardStream }) {
      const format = parseChoice(formatText, "--format", formats);
      const reference = parseKeyReference(argument(positional), "optional");
      const answer = await (await session.connect()).keyGeneration.getPublicKey(reference);
      const { name, version, algorithm, subjectPublicKeyInfo } = answer;
      const publicKey = encode(subjectPublicKeyInfo, format, `${name}@${version}`, algorithm);
      if (out !== standardStream || !session.json) writeOutput(out, bytesOf(publicKey));
      const facts = { name, version, algorithm, format };
      if (out === standardStream) {
        if (session.json) session.answer({ ...facts, publicKey }, () => "");
        return;
      }
      session.answer({ ...facts, out }, () => "");
      session.notice(`wrote the public key of ${name}@${version} to ${out}`);
    },
  });
}

function encode(
  subjectPublicKeyInfo: Uint8Array,
  format: Format,
  keyId: string,
  algorithm: string,
): string | Uint8Array | object {
  if (format === "der") return subjectPublicKeyInfo;
  const key = createPublicKey({ key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" });
  if (format === "pem") return key.export({ type: "spki", format: "pem" });
  try {
    return { ...key.export({ format: "jwk" }), kid: keyId };
  } catch (cause) {
    throw new DomainError("failed-precondition", `there is no JWK of a public key for ${algorithm}`, {
      hint: "use --format pem or der",
      cause,
    });
  }
}

function bytesOf(publicKey: string | Uint8Array | object): string | Uint8Array {
  if (typeof publicKey === "string" || publicKey instanceof Uint8Array) return publicKey;
  return `${JSON.stringify(publicKey, null, 2)}\n`;
}
