import { DomainError } from "@claviger/domain-error";
import { contextConstructed, enumerated, integerFromNumber, sequence, time } from "./der.ts";
import { authorityKeyIdentifier, extension } from "./extensions.ts";
import { encodeIssuer } from "./name-encoding.ts";
import type { Name } from "./names.ts";
import { oids } from "./oids.ts";
import { encodeSerial } from "./serial.ts";
import { assembleSigned, type CertificateSigner, signatureIdentifier } from "./signer.ts";

/** About 40 MB: past it, certificates belong on several CRLs. */
export const crlEntriesMax = 1_000_000;

/** CRLReason (RFC 5280 section 5.3.1); 7 is not used. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  /** Only in delta CRLs, which Claviger does not make: it is known, and refused as a reason to revoke. */
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export type RevocationReason = Exclude<keyof typeof revocationReasons, "removeFromCRL">;

export function isRevocationReason(text: string): text is RevocationReason {
  return Object.hasOwn(revocationReasons, text) && text !== "removeFromCRL";
}

export interface CrlEntry {
  serial: Uint8Array;
  revokedAt: Date;
  reason: RevocationReason;
}

export interface CrlOptions {
  /** A name, or the DER of the CA certificate's subject. */
  issuer: Name | Uint8Array;
  thisUpdate: Date;
  nextUpdate: Date;
  /** Must grow with every CRL of this issuer (RFC 5280 section 5.2.3). */
  number: number | bigint;
  /** Or page by page: each page is encoded as it comes, and not kept. */
  entries: Iterable<CrlEntry> | AsyncIterable<readonly CrlEntry[]>;
  /** How many are on the list so far, every {@link progressEveryEntries}. */
  onProgress?: ((entries: number) => void) | undefined;
  /** The CA certificate's subject key identifier. */
  authorityKeyId: Uint8Array;
  signer: CertificateSigner;
}

/**
 * The DER of a signed v2 CRL. Serials are not compared with each other: the caller's table has each once.
 *
 * @throws DomainError `invalid-argument`, and whatever the signer throws.
 */
export async function buildCrl(options: CrlOptions): Promise<Uint8Array> {
  if (!(options.thisUpdate.getTime() < options.nextUpdate.getTime())) {
    throw new DomainError("invalid-argument", "a CRL's next update must come after this one");
  }
  const number = integerFromNumber(options.number);
  // RFC 5280 section 5.2.3: at most 20 octets.
  if (number.length > 22)
    throw new DomainError("invalid-argument", "a CRL's number is longer than 20 octets");
  const entries = await encodeEntries(options.entries, options.onProgress);
  const tbs = sequence([
    // Version v2 is 1.
    integerFromNumber(1),
    signatureIdentifier(options.signer),
    encodeIssuer(options.issuer),
    time(options.thisUpdate),
    time(options.nextUpdate),
    // RFC 5280 section 5.1.2.6: the list must be absent when nothing is revoked.
    ...(entries.length === 0 ? [] : [sequence(entries)]),
    contextConstructed(0, [
      sequence([authorityKeyIdentifier(options.authorityKeyId), extension(oids.crlNumber, number)]),
    ]),
  ]);
  return assembleSigned(tbs, options.signer);
}

/** Between two of these the event loop gets its turn. */
const progressEveryEntries = 10_000;
const chunkBytes = 1 << 20;

/** Entries laid end to end in a few large pieces: a million small arrays would cost ten times their bytes. */
async function encodeEntries(
  entries: CrlOptions["entries"],
  onProgress: CrlOptions["onProgress"],
): Promise<Uint8Array[]> {
  const list = new EntryList();
  if (Symbol.iterator in entries) {
    for (const entry of entries) list.add(entry);
    return list.chunks();
  }
  let said = 0;
  for await (const page of entries) {
    for (const entry of page) list.add(entry);
    if (list.count - said < progressEveryEntries) continue;
    said = list.count;
    onProgress?.(said);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return list.chunks();
}

class EntryList {
  count = 0;
  // Reasons are few, and dates repeat: each is encoded once, not 10,000 times.
  readonly #extensionsByReason = new Map<RevocationReason, Uint8Array>();
  #lastTime = Number.NaN;
  #lastTimeEncoded: Uint8Array = new Uint8Array(0);
  readonly #full: Uint8Array[] = [];
  #chunk = new Uint8Array(4096);
  #used = 0;

  add({ reason, revokedAt, serial }: CrlEntry): void {
    if (this.count === crlEntriesMax) {
      throw new DomainError("exhausted", `a CRL has room for ${crlEntriesMax} entries`, {
        hint: "Issue from a new CA, so that the list starts anew.",
      });
    }
    const parts = [encodeSerial(serial), this.#encodeTime(revokedAt)];
    // RFC 5280 section 5.3.1: absent rather than "unspecified".
    if (reason !== "unspecified") {
      const known = this.#extensionsByReason.get(reason) ?? encodeReason(reason);
      this.#extensionsByReason.set(reason, known);
      parts.push(known);
    }
    const entry = sequence(parts);
    if (this.#used + entry.length > this.#chunk.length) {
      this.#close();
      this.#chunk = new Uint8Array(chunkBytes);
    }
    this.#chunk.set(entry, this.#used);
    this.#used += entry.length;
    this.count += 1;
  }

  chunks(): Uint8Array[] {
    this.#close();
    return this.#full;
  }

  #close(): void {
    if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used));
    this.#used = 0;
  }

  #encodeTime(date: Date): Uint8Array {
    const milliseconds = date.getTime();
    if (milliseconds !== this.#lastTime) {
      this.#lastTimeEncoded = time(date);
      this.#lastTime = milliseconds;
    }
    return this.#lastTimeEncoded;
  }
}

function encodeReason(reason: RevocationReason): Uint8Array {
  if (!isRevocationReason(reason)) {
    throw new DomainError("invalid-argument", "this is not a reason for which a certificate can be revoked", {
      hint: `Use one of ${Object.keys(revocationReasons).filter(isRevocationReason).join(", ")}.`,
    });
  }
  return sequence([extension(oids.reasonCode, enumerated(revocationReasons[reason]))]);
}
