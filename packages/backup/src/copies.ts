import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A copy of a backup that this host has made, or was shown. */
export interface BackupCopy {
  id: string;
  path: string;
  /** RFC 3339. */
  expiresAt: string;
}

const copiesMax = 10_000;

function copiesFile(stateDirectory: string): string {
  return join(stateDirectory, "backups.json");
}

/** Those that this host knows of; whether they are still where they were is another matter. */
export function knownCopies(stateDirectory: string): BackupCopy[] {
  try {
    return (JSON.parse(readFileSync(copiesFile(stateDirectory), "utf8")) as { copies: BackupCopy[] }).copies;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

export function rememberCopy(stateDirectory: string, copy: BackupCopy): void {
  const others = knownCopies(stateDirectory).filter(({ path }) => path !== copy.path);
  write(stateDirectory, [...others, copy].slice(-copiesMax));
}

export function forgetCopies(stateDirectory: string, paths: readonly string[]): void {
  const kept = knownCopies(stateDirectory).filter(({ path }) => !paths.includes(path));
  write(stateDirectory, kept);
}

function write(stateDirectory: string, copies: readonly BackupCopy[]): void {
  const path = copiesFile(stateDirectory);
  writeFileSync(`${path}.new`, `${JSON.stringify({ copies }, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}
