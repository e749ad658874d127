import { type InputLimits, standardStream, writeOutput } from "./files.ts";
import type { Session } from "./session.ts";

export interface TransformOptions {
  in?: string;
  out?: string;
  aad?: string;
}

const mebibyte = 1024 * 1024;
/** Header and tag of docs/formats.md, with room for later formats. */
const ciphertextOverheadMax = 1024;

const forMore =
  "for more, encrypt it under a key of its own and that key with Claviger, or cut it into pieces";

export const plaintextLimits: InputLimits = { bytesMax: mebibyte, what: "what is encrypted", hint: forMore };
export const ciphertextLimits: InputLimits = {
  bytesMax: mebibyte + ciphertextOverheadMax,
  what: "a ciphertext",
};
export const messageLimits: InputLimits = {
  bytesMax: mebibyte,
  what: "what is signed",
  hint: "for more, sign its digest instead: sign --digest",
};
export const signatureLimits: InputLimits = { bytesMax: 64 * 1024, what: "a signature" };

export const associatedDataOption = ["--aad <text>", "bound to the ciphertext, but not in it"] as const;

export const digestOption = [
  "--digest",
  "the file is a digest already, raw, by the algorithm's own hash (ECDSA and RSA)",
] as const;

export interface Delivery {
  /** Its name in the JSON document, where it goes to stdout. */
  field: string;
  content: Uint8Array;
  out: string;
  mode?: number;
  facts: Readonly<Record<string, unknown>>;
}

/** Bytes go to a file, or raw to stdout; with `--json` stdout holds them as base64 in the document. */
export function deliver(session: Session, { field, content, out, mode, facts }: Delivery): void {
  if (out === standardStream) {
    if (session.json) session.answer({ ...facts, [field]: content }, () => "");
    else writeOutput(out, content);
    return;
  }
  writeOutput(out, content, mode === undefined ? {} : { mode });
  session.answer({ ...facts, out, bytes: content.length }, () => "");
  session.notice(`wrote the ${field} to ${out}`);
}
