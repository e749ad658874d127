import { DomainError } from "@claviger/domain-error";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { checkSize } from "./coordinates.ts";
import { emptyRoot, equalHashes, hashBytes } from "./hashing.ts";
import { isNoteText } from "./note.ts";
import type { VerifiedNote, VerifierKey } from "./verifier-key.ts";
import { verifyNote } from "./verifier-key.ts";

/** The most extension lines in a checkpoint. */
export const extensionLinesMax = 16;

/** The head of a log: this many leaves, and this root over them. */
export interface Checkpoint {
  /** Which log this is, for instance `claviger.example/audit`. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
  /** Opaque further lines, in order. Claviger writes none. */
  readonly extensions?: readonly string[];
}

/** A checkpoint that somebody vouches for. */
export interface OpenedCheckpoint extends VerifiedNote {
  readonly checkpoint: Required<Checkpoint>;
}

function malformed(message: string): DomainError {
  return new DomainError("invalid-argument", `malformed checkpoint: ${message}`);
}

function isLine(line: string): boolean {
  return line !== "" && !line.includes("\n") && isNoteText(line);
}

function requireCheckpoint({ origin, size, root, extensions }: Required<Checkpoint>): void {
  if (!isLine(origin)) {
    throw malformed("the origin is one line, and not empty");
  }
  checkSize(size, "the checkpoint's tree size");
  if (root.length !== hashBytes) {
    throw malformed("the root is not 32 bytes");
  }
  // RFC 6962 section 2.1 defines this root: another one is the head of no tree.
  if (size === 0 && !equalHashes(root, emptyRoot())) {
    throw malformed("the root of an empty tree is SHA-256 of nothing");
  }
  if (extensions.length > extensionLinesMax || !extensions.every(isLine)) {
    throw malformed(`extensions are lines that are not empty, ${extensionLinesMax} at most`);
  }
}

/** The text of a checkpoint, ready to be signed as a note (C2SP tlog-checkpoint, Note text). */
export function formatCheckpointText(checkpoint: Checkpoint): string {
  const { origin, size, root, extensions = [] } = checkpoint;
  requireCheckpoint({ origin, size, root, extensions });
  return [origin, String(size), encodeBase64(root), ...extensions].map((line) => `${line}\n`).join("");
}

/** Reads the text of a checkpoint strictly: each checkpoint has one text. */
export function parseCheckpointText(text: string): Required<Checkpoint> {
  if (!text.endsWith("\n")) {
    throw malformed("the text does not end in a newline");
  }
  const lines = text.slice(0, -1).split("\n", 3 + extensionLinesMax + 1);
  const [origin, sizeLine, rootLine, ...extensions] = lines;
  if (origin === undefined || sizeLine === undefined || rootLine === undefined) {
    throw malformed("it needs an origin, a size and a root");
  }
  if (!/^(0|[1-9][0-9]{0,15})$/.test(sizeLine)) {
    throw malformed("the size is decimal, without leading zeros, at most 2^53 - 1");
  }
  const root = decodeBase64(rootLine);
  if (root === undefined) {
    throw malformed("the root is not base64");
  }
  const checkpoint = { origin, size: Number(sizeLine), root, extensions };
  requireCheckpoint(checkpoint);
  return checkpoint;
}

/**
 * Opens a signed checkpoint of the log `origin`. Give the keys of the log alone: any one of them suffices,
 * so a witness's key here could vouch in the log's place.
 *
 * @throws DomainError `invalid-argument` for what is not a checkpoint, `integrity` where a signature fails,
 * no given key has signed, or it is another log's.
 */
export function openCheckpoint(
  note: string | Uint8Array,
  verifierKeys: readonly VerifierKey[],
  origin: string,
): OpenedCheckpoint {
  const verified = verifyNote(note, verifierKeys);
  const checkpoint = parseCheckpointText(verified.text);
  if (checkpoint.origin !== origin) {
    throw new DomainError("integrity", "the checkpoint is another log's", {
      hint: "one key may sign for several logs: compare the origin that you expect with the first line",
    });
  }
  return { ...verified, checkpoint };
}
