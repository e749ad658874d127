import { canonicalJson } from "@claviger/audit-record";
import { type CeremonyTranscript, rightToken } from "./transcript.ts";

const recordVersion = 1;

/**
 * What is attested of a ceremony (docs/formats.md): canonical JSON. The wraps themselves stay where they are;
 * what was wrapped is named.
 */
export function ceremonyRecord(
  transcript: CeremonyTranscript,
  now: { trustDomain: string; module: string; time: Date },
): Buffer {
  const { acceptedTokens, custody, heldAt, recoveryKey, recoveryWraps, token } = transcript;
  const text = canonicalJson({
    v: recordVersion,
    kind: "ceremony",
    trustDomain: now.trustDomain,
    heldAt,
    token,
    rightToken: rightToken(transcript),
    acceptedTokens: acceptedTokens ?? [],
    recoveryKey,
    custody,
    wrappedForRecovery: Object.keys(recoveryWraps).sort(),
    module: now.module,
    openssl: process.versions.openssl,
    attestedAt: now.time.toISOString(),
  });
  return Buffer.from(text, "utf8");
}
