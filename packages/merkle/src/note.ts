import { DomainError } from "@claviger/domain-error";
import { decodeBase64, encodeBase64 } from "./base64.ts";

/** The longest text of a note, in bytes of UTF-8. */
export const noteTextBytesMax = 1_000_000;

/** The most signatures on a note; C2SP signed-note asks verifiers to accept at least 16. */
export const noteSignaturesMax = 100;

// Room for the largest post-quantum signatures (about 5 kB, C2SP signed-note) and a long name.
const signatureLineBytesMax = 16_384;

/** One signature line. Name and key ID together name the key and the algorithm. */
export interface NoteSignature {
  readonly name: string;
  /** Unsigned, 32 bits. */
  readonly keyId: number;
  readonly signature: Uint8Array;
}

/** A note that has been read, and not verified: its text is nobody's word yet. */
export interface ParsedNote {
  /** With its final newline, as it was signed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

function malformed(message: string): DomainError {
  return new DomainError("invalid-argument", `malformed note: ${message}`);
}

/** Whether this can stand in a note: well-formed Unicode, no ASCII control character but newline. */
export function isNoteText(text: string): boolean {
  if (!text.isWellFormed()) {
    return false;
  }
  for (let position = 0; position < text.length; position++) {
    const unit = text.charCodeAt(position);
    if (unit < 0x20 && unit !== 0x0a) {
      return false;
    }
  }
  return true;
}

/** Whether this is a key name: not empty, without Unicode spaces or plus (C2SP signed-note, Format). */
export function isKeyName(name: string): boolean {
  return name !== "" && isNoteText(name) && !/[\p{White_Space}+]/u.test(name);
}

function requireText(text: string): void {
  if (Buffer.byteLength(text) > noteTextBytesMax) {
    throw malformed(`the text has more than ${noteTextBytesMax} bytes`);
  }
  if (!isNoteText(text)) {
    throw malformed("the text is not Unicode, or has control characters other than newline");
  }
  if (!text.endsWith("\n")) {
    throw malformed("the text does not end in a newline");
  }
}

function requireSignatureCount(count: number): void {
  if (count < 1 || count > noteSignaturesMax) {
    throw malformed(`it needs 1 to ${noteSignaturesMax} signatures`);
  }
}

function formatSignature({ name, keyId, signature }: NoteSignature): string {
  if (!isKeyName(name)) {
    throw malformed("a key name is empty, or has a space, a plus or a control character");
  }
  if (!Number.isInteger(keyId) || keyId < 0 || keyId > 0xffff_ffff) {
    throw malformed("a key ID is not an unsigned number of 32 bits");
  }
  if (signature.length === 0) {
    throw malformed("a signature is empty");
  }
  const bytes = Buffer.alloc(4 + signature.length);
  bytes.writeUInt32BE(keyId);
  bytes.set(signature, 4);
  const line = `\u2014 ${name} ${encodeBase64(bytes)}`;
  if (Buffer.byteLength(line) > signatureLineBytesMax) {
    throw malformed(`a signature line has more than ${signatureLineBytesMax} bytes`);
  }
  return `${line}\n`;
}

/**
 * Joins a text (which ends in a newline) and its signatures to a signed note, C2SP signed-note. What this
 * returns, `parseNote` accepts.
 */
export function formatNote(text: string, signatures: readonly NoteSignature[]): string {
  requireText(text);
  requireSignatureCount(signatures.length);
  return `${text}\n${signatures.map(formatSignature).join("")}`;
}

function decodeNote(note: string | Uint8Array): string {
  const noteLengthMax = noteTextBytesMax + 1 + noteSignaturesMax * (signatureLineBytesMax + 1);
  // For a string this counts UTF-16 units, of which UTF-8 has at least as many bytes: enough to bound work.
  if (note.length > noteLengthMax) {
    throw malformed("it is too long");
  }
  if (typeof note === "string") {
    return note;
  }
  try {
    // ignoreBOM keeps a leading U+FEFF in the text: it is part of what was signed.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(note);
  } catch (cause) {
    throw new DomainError("invalid-argument", "malformed note: it is not UTF-8", { cause });
  }
}

function parseSignature(line: string): NoteSignature {
  const [dash, name, encoded, ...rest] = line.split(" ");
  if (Buffer.byteLength(line) > signatureLineBytesMax || dash !== "\u2014" || rest.length > 0) {
    throw malformed("a line after the last empty line is not a signature");
  }
  if (name === undefined || encoded === undefined || !isKeyName(name)) {
    throw malformed("a signature line lacks a key name");
  }
  const bytes = decodeBase64(encoded);
  if (bytes === undefined || bytes.length <= 4) {
    throw malformed("a signature is not base64 of a key ID and a signature");
  }
  const keyId = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
  return { name, keyId, signature: bytes.subarray(4) };
}

/**
 * Reads a signed note strictly (C2SP signed-note, Format) and verifies nothing: use `verifyNote` for a
 * text to rely on.
 *
 * @throws DomainError of kind `invalid-argument` for anything that is not such a note.
 */
export function parseNote(note: string | Uint8Array): ParsedNote {
  const whole = decodeNote(note);
  // The text may hold empty lines: only the last one separates.
  const separator = whole.lastIndexOf("\n\n");
  if (separator < 0) {
    throw malformed("no empty line separates the text from the signatures");
  }
  const text = whole.slice(0, separator + 1);
  requireText(text);
  const block = whole.slice(separator + 2);
  if (!block.endsWith("\n")) {
    throw malformed("the last signature line does not end in a newline");
  }
  if (!isNoteText(block)) {
    throw malformed("the signatures are not Unicode, or have control characters");
  }
  const lines = block.slice(0, -1).split("\n", noteSignaturesMax + 1);
  requireSignatureCount(lines.length);
  return { text, signatures: lines.map(parseSignature) };
}
