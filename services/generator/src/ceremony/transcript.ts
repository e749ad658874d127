import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";

/** What the ceremony leaves behind (docs/formats.md). Nothing in it is secret. */
export interface CeremonyTranscript {
  version: 1;
  heldAt: string;
  token: { label: string; serial: string; model: string };
  recoveryKey: string;
  custody: { threshold: number; shares: number };
  /** RFC 5649, base64. */
  recoveryWraps: Record<string, string>;
  /** Tokens that an administrator of the host accepted in the place of the one before. */
  acceptedTokens?: { serial: string; insteadOf: string; acceptedAt: string }[];
}

/** Undefined where no ceremony was held. @throws DomainError `integrity` */
export function readTranscript(directory: string): CeremonyTranscript | undefined {
  const path = join(directory, "ceremony.json");
  if (!existsSync(path)) return undefined;
  try {
    const transcript = JSON.parse(readFileSync(path, "utf8")) as CeremonyTranscript;
    if (transcript.version === 1 && typeof transcript.token.serial === "string") return transcript;
  } catch {
    // It is not JSON.
  }
  throw new DomainError("integrity", "the ceremony's transcript, ceremony.json, cannot be read", {
    hint: "put it back from a copy: it says which token is the right one",
  });
}

/** Whole or not at all: its presence says that the ceremony is whole. */
export function writeTranscript(directory: string, transcript: CeremonyTranscript): void {
  const path = join(directory, "ceremony.json");
  writeFileSync(`${path}.new`, `${JSON.stringify(transcript, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

/** The serial of the one token that may be used: the ceremony's, or the last that was accepted after it. */
export function rightToken(transcript: CeremonyTranscript): string {
  return transcript.acceptedTokens?.at(-1)?.serial ?? transcript.token.serial;
}

/** Another token may take the place of the right one. Resolves to the transcript as it then is. */
export function acceptToken(transcript: CeremonyTranscript, serial: string, now: Date): CeremonyTranscript {
  const insteadOf = rightToken(transcript);
  if (insteadOf === serial) return transcript;
  const accepted = { serial, insteadOf, acceptedAt: now.toISOString() };
  return { ...transcript, acceptedTokens: [...(transcript.acceptedTokens ?? []), accepted] };
}
