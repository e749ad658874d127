import { closeSync, fstatSync, ftruncateSync, openSync, readSync, renameSync, statSync } from "node:fs";
import { copyFile } from "node:fs/promises";

/** Past this, a log is put aside as `.1`, replacing the one before: at most twice this for each part. */
const logBytesMax = 8 * 1024 * 1024;
const tailBytesMax = 16 * 1024;

/** Opens a log for appending, after putting a large one aside. */
export function openLog(path: string): number {
  try {
    if (statSync(path).size > logBytesMax) renameSync(path, `${path}.1`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
  return openSync(path, "a", 0o600);
}

/**
 * Bounds the log of a process that keeps running. Its descriptor stays the same (it appends, so that
 * it goes on at the new end); lines written between the copy and the cut are lost.
 */
export async function boundLog(path: string): Promise<void> {
  const file = openSync(path, "r+");
  try {
    if (fstatSync(file).size <= logBytesMax) return;
    await copyFile(path, `${path}.1`);
    ftruncateSync(file, 0);
  } finally {
    closeSync(file);
  }
}

/** The last lines of a log, for the person who has to find out why. */
export function lastLines(path: string, count = 12): string[] {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return [];
  }
  try {
    const size = fstatSync(file).size;
    const buffer = Buffer.alloc(Math.min(size, tailBytesMax));
    readSync(file, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("utf8").trimEnd().split("\n").slice(-count);
  } finally {
    closeSync(file);
  }
}
