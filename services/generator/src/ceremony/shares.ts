import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { combine, split } from "shamir-secret-sharing";
import { recoveryKeyId } from "../hsm/recovery-key.ts";

export interface Custody {
  /** m: how many shares open the recovery key. */
  threshold: number;
  /** n: how many there are. */
  shares: number;
}

const header = "claviger-recovery-share/v1";
const sharesMax = 16;

/** What a share's holder alone can compute of it, and what of that may be kept for all to see. */
export function shareProof(text: string): Buffer {
  return createHash("sha256").update("claviger/share-proof/v1\0").update(text).digest();
}

export function shareDigest(proof: Uint8Array): string {
  return createHash("sha256").update(proof).digest("base64");
}

/** @throws DomainError `invalid-argument` */
export function checkCustody({ shares, threshold }: Custody): void {
  if (threshold >= 2 && threshold <= shares && shares <= sharesMax) return;
  throw new DomainError("invalid-argument", `custody needs 2 ≤ threshold ≤ shares ≤ ${sharesMax}`, {
    hint: "the threshold says how many open it (CLAVIGER_RECOVERY_THRESHOLD for the first ceremony), shares how many there are",
  });
}

/** The share files' texts, one for each custodian. */
export async function splitRecoveryKey(key: SecretBytes, custody: Custody): Promise<string[]> {
  checkCustody(custody);
  const id = recoveryKeyId(key);
  const shares = await split(key.expose(), custody.shares, custody.threshold);
  return shares.map((share, at) => {
    const fields = [
      header,
      `recovery-key: ${id}`,
      `share: ${at + 1} of ${custody.shares}, ${custody.threshold} open it`,
      `value: ${Buffer.from(share).toString("base64")}`,
    ];
    const text = `${fields.join("\n")}\n`;
    share.fill(0);
    return `${text}checksum: ${checksum(text)}\n`;
  });
}

/**
 * Puts shares together. A damaged or foreign share is told apart from too few.
 * @throws DomainError `invalid-argument` naming the share
 */
export async function combineShares(texts: readonly string[]): Promise<SecretBytes> {
  const parsed = texts.map(parseShare);
  const [first] = parsed;
  if (first === undefined) throw new DomainError("invalid-argument", "no share was given");
  if (parsed.some((share) => share.recoveryKey !== first.recoveryKey)) {
    throw new DomainError("invalid-argument", "these shares are of different recovery keys");
  }
  if (new Set(parsed.map((share) => share.number)).size < first.threshold) {
    throw new DomainError("invalid-argument", `${first.threshold} different shares are needed`);
  }
  const key = SecretBytes.take(await combine(parsed.map((share) => share.value)));
  if (recoveryKeyId(key) !== first.recoveryKey) {
    key[Symbol.dispose]();
    throw new DomainError(
      "invalid-argument",
      "one of these shares is wrong: together they are not the recovery key",
    );
  }
  return key;
}

interface Share {
  recoveryKey: string;
  number: number;
  threshold: number;
  value: Uint8Array;
}

function parseShare(text: string, at: number): Share {
  const match =
    /^claviger-recovery-share\/v1\nrecovery-key: ([0-9a-f]{16})\nshare: (\d+) of \d+, (\d+) open it\nvalue: ([A-Za-z0-9+/=]+)\n(?=checksum: ([0-9a-f]{8})\n$)/.exec(
      text,
    );
  if (match === null || checksum(match[0]) !== match[5]) {
    throw new DomainError("invalid-argument", `share ${at + 1} is damaged, or is not a share`);
  }
  return {
    recoveryKey: match[1]!,
    number: Number(match[2]),
    threshold: Number(match[3]),
    value: new Uint8Array(Buffer.from(match[4]!, "base64")),
  };
}

function checksum(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
