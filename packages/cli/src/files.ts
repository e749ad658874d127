import { randomBytes } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fstatSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { DomainError, type ErrorKind } from "@claviger/domain-error";
import { usageError } from "./errors.ts";

export const standardStream = "-";
/** Of files that hold a key. */
export const secretMode = 0o600;

export interface InputLimits {
  bytesMax: number;
  /** What the input is, in the message about one that is too large. */
  what: string;
  /** What to do with a larger one. */
  hint?: string;
  /** Bad usage where left out. */
  kindWhereLarger?: ErrorKind;
}

/**
 * A file, or stdin for `-`, whole and bounded. A pipe counts as a file.
 * @throws DomainError `invalid-argument` where it cannot be read or is too large
 */
export async function readInput(
  path: string,
  { bytesMax, what, hint, kindWhereLarger = "invalid-argument" }: InputLimits,
): Promise<Buffer> {
  const from = path === standardStream ? process.stdin : createReadStream(path);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > bytesMax) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw usageError(
      `${nameOf(path, "stdin")} cannot be read: ${reason(cause)}`,
      "check its name and its mode",
      cause,
    );
  }
  if (size > bytesMax) {
    const problem = `${nameOf(path, "stdin")} is too large: ${what} has at most ${bytesMax} bytes`;
    throw new DomainError(kindWhereLarger, problem, { hint });
  }
  return Buffer.concat(chunks);
}

/** A small file of text, such as a token or a key, without the newline at its end. */
export async function readText(path: string, limits: InputLimits): Promise<string> {
  return (await readInput(path, limits)).toString("utf8").replace(/\r?\n$/, "");
}

/**
 * Writes an answer whole or not at all; `-` is stdout. Devices and pipes are written to as they are:
 * a rename would put a file in their place.
 */
export function writeOutput(
  path: string,
  content: Uint8Array | string,
  options: { mode?: number } = {},
): void {
  if (path === standardStream) {
    process.stdout.write(content);
    return;
  }
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    if (existing !== undefined && !existing.isFile()) {
      if (existing.isDirectory()) throw new Error("it is a directory");
      writeFileSync(path, content);
      return;
    }
    // Through a symbolic link, so that the link stays one.
    replaceFile(existing === undefined ? path : realpathSync(path), content, options.mode ?? existing?.mode);
  } catch (cause) {
    throw usageError(
      `${path} cannot be written: ${reason(cause)}`,
      "nothing was written; check the directory",
      cause,
    );
  }
}

function replaceFile(path: string, content: Uint8Array | string, mode = 0o666): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.part`);
  const file = openSync(temporary, "wx", mode & 0o777);
  try {
    try {
      writeFileSync(file, content);
      // A pipe's or a device's end would say so here; a file is on the disk before its name is.
      if (fstatSync(file).isFile()) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw cause;
  }
}

function nameOf(path: string, stream: string): string {
  return path === standardStream ? stream : path;
}

function reason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  const known: Partial<Record<string, string>> = {
    ENOENT: "it does not exist",
    EACCES: "permission denied",
    EISDIR: "it is a directory",
    ENOSPC: "the disk is full",
    ENOTDIR: "its directory is none",
  };
  return known[code ?? ""] ?? message;
}
