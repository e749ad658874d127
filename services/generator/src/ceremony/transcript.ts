import { timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";

/** What the ceremony leaves behind (docs/formats.md). Nothing in it is secret. */
export interface CeremonyTranscript {
  version: 1;
  heldAt: string;
  token: { label: string; serial: string; model: string };
  recoveryKey: string;
  custody: { threshold: number; shares: number };
  /** Of each share: what tells whether somebody holds it (`shareDigest`). */
  shareDigests: string[];
  /** RFC 5649, base64. */
  recoveryWraps: Record<string, string>;
  /** Tokens that an administrator of the host accepted in the place of the one before. */
  acceptedTokens?: { serial: string; insteadOf: string; acceptedAt: string }[];
  /** Recovery keys that took the place of the one before, with other shares. */
  custodyChanges?: { recoveryKey: string; insteadOf: string; changedAt: string }[];
  /** Restores from a backup, each into the token that is named. */
  restores?: { backup: string; madeAt: string; restoredAt: string; serial: string }[];
  /** Base64: what the token's binding key makes of all the rest. */
  mac: string;
}

export type UnboundTranscript = Omit<CeremonyTranscript, "mac">;
type BindingMac = (data: Uint8Array) => Promise<Buffer> | Buffer;

const macDomain = "claviger/ceremony/v1\0";
const transcriptFile = "ceremony.json";

/** Binds a transcript to the token: whoever changes the file without the PIN is found out. */
export async function bindTranscript(
  transcript: UnboundTranscript & { mac?: string },
  mac: BindingMac,
): Promise<CeremonyTranscript> {
  const { mac: _, ...unbound } = transcript;
  return { ...unbound, mac: (await mac(boundBytes(unbound))).toString("base64") };
}

/** @throws DomainError `integrity` where the transcript is not what this token's ceremony left behind */
export async function requireGenuine(transcript: CeremonyTranscript, mac: BindingMac): Promise<void> {
  const { mac: claimed, ...unbound } = transcript;
  const expected = await mac(boundBytes(unbound));
  const bytes = Buffer.from(claimed ?? "", "base64");
  if (bytes.length === expected.length && timingSafeEqual(bytes, expected)) return;
  throw new DomainError(
    "integrity",
    "the ceremony's transcript, ceremony.json, was changed, or is another token's",
    {
      hint: "put back the file as the ceremony left it: it says which token is the right one",
    },
  );
}

function boundBytes(unbound: UnboundTranscript): Buffer {
  return Buffer.from(`${macDomain}${canonicalJson(unbound)}`, "utf8");
}

/** Undefined where no ceremony was held. @throws DomainError `integrity` */
export function readTranscript(directory: string, name = transcriptFile): CeremonyTranscript | undefined {
  const path = join(directory, name);
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

/** @throws DomainError `failed-precondition` where no ceremony was held */
export function requireTranscript(directory: string): CeremonyTranscript {
  const transcript = readTranscript(directory);
  if (transcript !== undefined) return transcript;
  throw new DomainError("failed-precondition", "no ceremony was held: there is no ceremony.json", {
    hint: "`claviger init` holds it; if it was held, put the file back",
  });
}

/** Whole or not at all: its presence says that the ceremony is whole. */
export function writeTranscript(
  directory: string,
  transcript: CeremonyTranscript,
  name = transcriptFile,
): void {
  const path = join(directory, name);
  writeFileSync(`${path}.new`, `${JSON.stringify(transcript, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}

/** The serial of the one token that may be used: the ceremony's, or the last that was accepted after it. */
export function rightToken(transcript: UnboundTranscript): string {
  return transcript.acceptedTokens?.at(-1)?.serial ?? transcript.token.serial;
}

/** Another token may take the place of the right one. Returns the transcript as it then is, to be bound anew. */
export function acceptToken(transcript: UnboundTranscript, serial: string, now: Date): UnboundTranscript {
  const insteadOf = rightToken(transcript);
  if (insteadOf === serial) return transcript;
  const accepted = { serial, insteadOf, acceptedAt: now.toISOString() };
  return { ...transcript, acceptedTokens: [...(transcript.acceptedTokens ?? []), accepted] };
}
