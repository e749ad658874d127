import { secrets } from "@claviger/client";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { argument, defineCommand } from "../define-command.ts";
import { writeOutput } from "../files.ts";
import { properties } from "../output.ts";
import { associatedDataOption } from "../transform.ts";

interface DataKeyOptions {
  wrappedOnly?: boolean;
  outKey?: string;
  outEncrypted?: string;
  aad?: string;
}

const secretMode = 0o600;

export function register(program: Command): void {
  defineCommand<DataKeyOptions>(program, {
    usage: "datakey <keyring/key>",
    description:
      "a fresh 256-bit key: for you, and encrypted with a key of Claviger's to keep beside your data",
    examples: [
      "datakey payments/cards --out-key data.key --out-encrypted data.key.enc",
      "datakey payments/cards --wrapped-only --out-encrypted data.key.enc",
    ],
    options: [
      ["--wrapped-only", "only the encrypted key: for whoever stores, and decrypts later"],
      ["--out-key <file>", "the key, raw, readable by you alone; base64 on stdout by default"],
      ["--out-encrypted <file>", "the encrypted key, raw; base64 on stdout by default"],
      associatedDataOption,
    ],
    async run(session, positional, { aad = "", outEncrypted, outKey, wrappedOnly = false }) {
      const { name } = parseKeyReference(argument(positional), "none");
      const claviger = await session.connect();
      const request = { name, associatedData: Buffer.from(aad, "utf8") };
      const made = wrappedOnly
        ? { ...(await claviger.cryptography.generateDataKey(request)), secret: undefined }
        : await secrets.generateDataKey(claviger, request);
      using secret = made.secret;
      const { encryptedKey, version } = made;
      if (outEncrypted !== undefined) writeOutput(outEncrypted, encryptedKey);
      if (outKey !== undefined && secret !== undefined)
        writeOutput(outKey, secret.expose(), { mode: secretMode });
      const shown = secret !== undefined && outKey === undefined ? Buffer.from(secret.expose()) : undefined;
      const answer = {
        name,
        version,
        ...(shown && { key: shown }),
        ...(outKey !== undefined && { outKey }),
        ...(outEncrypted === undefined ? { encryptedKey } : { outEncrypted }),
      };
      session.answer(answer, () =>
        properties([
          ["made with", `${name}@${version}`],
          ...(shown ? [["key", shown.toString("base64")] as const] : []),
          ...(outKey !== undefined && !wrappedOnly ? [["key in", outKey] as const] : []),
          outEncrypted === undefined
            ? ["encrypted key", Buffer.from(encryptedKey).toString("base64")]
            : ["encrypted key in", outEncrypted],
        ]),
      );
      shown?.fill(0);
    },
  });
}
