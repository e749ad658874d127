import { createPrivateKey, createPublicKey } from "node:crypto";
import { importKey } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { readInput, standardStream, writeOutput } from "../files.ts";

const materialLimits = { bytesMax: 64 * 1024, what: "a key" };
const publicKeyLimits = { bytesMax: 16 * 1024, what: "a public key" };
/** SubjectPublicKeyInfo of X25519 (RFC 8410) is 12 bytes and then the key. */
const x25519Bytes = 32;

interface ImportOptions {
  algorithm: string;
  in: string;
  protection?: string;
  exportable?: boolean;
  public?: boolean;
}

export function registerImport(keys: Command): void {
  defineCommand<ImportOptions>(keys, {
    usage: "import <keyring/key>",
    description:
      "make a key of material that was made elsewhere, sealed on its way; or of a public key alone",
    examples: [
      "keys import payments/legacy --algorithm ecdsa-p256 --in key.pem",
      "keys import payments/data --algorithm aes-256-gcm --in key.bin",
      "keys import payments/ca --algorithm ecdsa-p384 --protection hsm --in key.pem",
      "keys import partners/acme --algorithm ecdsa-p256 --public --in acme.pem",
    ],
    options: [
      ["--algorithm <A>", "what the key is for", "required"],
      ["--in <file>", "raw bytes of a symmetric key; PKCS #8, PEM or DER, of another", "required"],
      ["--protection <P>", "software, or hsm: used in the HSM alone from here on; software by default"],
      ["--public", "the file is a public key, PEM or DER: to verify, or to encrypt or encapsulate with"],
      ["--exportable", "may leave Claviger again, sealed to a recipient; fixed for good"],
    ],
    async run(session, positional, options) {
      const { algorithm, exportable = false, in: from, protection = "", public: alone = false } = options;
      const { name } = parseKeyReference(argument(positional), "none");
      if (alone) {
        if (exportable)
          throw new DomainError(
            "invalid-argument",
            "a public key alone is nothing to export: leave out --exportable",
          );
        const publicKey = toPublicKey(await readInput(from, publicKeyLimits));
        const claviger = await session.connect();
        const request = { name, algorithm, protection, publicKey };
        const { key: made } = await claviger.keyGeneration.importKey(request);
        const key = present(made, "the key");
        session.answer(key, () => `${key.name} is ${key.state}: ${key.algorithm}, the public half alone`);
        return;
      }
      using material = toMaterial(await readInput(from, materialLimits));
      const claviger = await session.connect();
      const made = await importKey(claviger, { name, algorithm, protection, exportable }, material);
      const key = present(made, "the key");
      session.answer(key, () => `${key.name} is ${key.state}: ${key.algorithm}, imported`);
      session.notice(
        `delete ${from === standardStream ? "what you imported" : from} where it is no longer needed`,
      );
    },
  });
}

export function registerExport(keys: Command): void {
  defineCommand<{ recipient: string; out?: string }>(keys, {
    usage: "export <keyring/key[@version]>",
    description: "a key that was made exportable, sealed to a recipient's public key",
    examples: ["keys export payments/shared@1 --recipient partner.pem --out shared.json"],
    options: [
      ["--recipient <file>", "an X25519 public key: openssl pkey -in private.pem -pubout", "required"],
      ["--out <file>", "where to; stdout by default"],
    ],
    async run(session, positional, { out = standardStream, recipient }) {
      const reference = parseKeyReference(argument(positional), "optional");
      const recipientPublicKey = toRecipient(await readInput(recipient, publicKeyLimits));
      const claviger = await session.connect();
      const answer = await claviger.keyGeneration.exportKey({ ...reference, recipientPublicKey });
      const { algorithm, name, sealedMaterial, version } = answer;
      const exported = {
        v: 1,
        name,
        version,
        algorithm,
        encapsulatedKey: Buffer.from(present(sealedMaterial, "the sealed key").encapsulatedKey).toString(
          "base64",
        ),
        ciphertext: Buffer.from(sealedMaterial!.ciphertext).toString("base64"),
      };
      writeOutput(out, `${JSON.stringify(exported, null, 2)}\n`);
      if (out === standardStream) return;
      session.answer({ name, version, algorithm, out }, () => "");
      session.notice(`wrote ${name}@${version}, sealed to the recipient, to ${out}`);
    },
  });
}

/** SubjectPublicKeyInfo in DER. */
function toPublicKey(content: Uint8Array): Buffer {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const pem = bytes.subarray(0, 11).equals(Buffer.from("-----BEGIN "));
  if (pem && bytes.includes("PRIVATE KEY")) {
    throw new DomainError("invalid-argument", "the file is a private key, and --public takes a public one", {
      hint: "openssl pkey -in key.pem -pubout -out public.pem; or leave out --public",
    });
  }
  try {
    const key = createPublicKey(pem ? bytes : { key: bytes, format: "der", type: "spki" });
    return key.export({ format: "der", type: "spki" });
  } catch (cause) {
    throw new DomainError("invalid-argument", "the file is not a public key in PEM or DER", {
      hint: "openssl pkey -in key.pem -pubout -out public.pem",
      cause,
    });
  }
}

/** PEM becomes PKCS #8 in DER; everything else is taken as it is. What was read is cleared. */
function toMaterial(content: Uint8Array): SecretBytes {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  if (!bytes.subarray(0, 11).equals(Buffer.from("-----BEGIN "))) return SecretBytes.take(bytes);
  try {
    return SecretBytes.take(createPrivateKey(bytes).export({ type: "pkcs8", format: "der" }));
  } catch {
    throw new DomainError("invalid-argument", "the file is not a private key in PEM, or is encrypted", {
      hint: "decrypt it first: openssl pkey -in key.pem -out plain.pem",
    });
  } finally {
    bytes.fill(0);
  }
}

function toRecipient(content: Uint8Array): Buffer {
  try {
    const key = createPublicKey(Buffer.from(content));
    if (key.asymmetricKeyType !== "x25519") throw new Error("another type");
    return key.export({ type: "spki", format: "der" }).subarray(-x25519Bytes);
  } catch (cause) {
    throw new DomainError("invalid-argument", "the recipient's key is not an X25519 public key in PEM", {
      hint: "openssl genpkey -algorithm X25519 -out private.pem; openssl pkey -in private.pem -pubout -out public.pem",
      cause,
    });
  }
}
