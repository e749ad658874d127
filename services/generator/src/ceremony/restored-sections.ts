import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import { type KeyringKeyWrap, sectionFile } from "./opened-backup.ts";
import type { CeremonyTranscript } from "./transcript.ts";

/** What is known of a backup that was opened into a directory. */
export interface OpenedFacts {
  id: string;
  createdAt: string;
  manifestSha256: string;
}

export function openedFactsFile(directory: string): string {
  return join(directory, "backup.json");
}

export function readOpenedFacts(directory: string): OpenedFacts {
  return JSON.parse(readFileSync(openedFactsFile(directory), "utf8")) as OpenedFacts;
}

/** @throws DomainError `integrity` */
export function readOpenedCeremony(directory: string): CeremonyTranscript {
  return readJson(sectionFile(directory, "ceremony"), (text) => JSON.parse(text) as CeremonyTranscript);
}

/** @throws DomainError `integrity` */
export function readOpenedKeyringKeys(directory: string): KeyringKeyWrap[] {
  return readJson(sectionFile(directory, "keyring-keys"), (text) =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { id: string; recoveryWrap: string })
      .map(({ id, recoveryWrap }) => ({ id, recoveryWrap: Buffer.from(recoveryWrap, "base64") })),
  );
}

function readJson<T>(path: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new DomainError("integrity", "the backup lacks what its token needs", { cause });
  }
}
