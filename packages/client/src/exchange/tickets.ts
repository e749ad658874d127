import {
  damaged,
  openTicket,
  type Statement,
  type StatementOf,
  ticketKeyId,
  ticketSignerName,
  verifyStatement,
} from "@claviger/key-ticket";
import type { SecretBytes } from "@claviger/secret-bytes";
import { readCertificate, splitChain, verifyChain } from "@claviger/x509";
import type { RecipientKeys } from "./recipient-keys.ts";

/** What opens tickets: nothing of it needs a connection. */
export interface TicketOpener {
  keys: RecipientKeys;
  /** PEM. */
  trustBundle: string;
  now?: Date;
}

export interface SealedTicket {
  /** A compact JWE. */
  ticket: string;
  /** PEM, leaf first: of whoever signed the statement inside. */
  certificateChain: string;
}

const ticketTextMax = 256 * 1024;
const signersMax = 100;
const signers = new Map<string, { key: Uint8Array; notAfter: number }>();

/**
 * The key of a ticket and what the generator says about it.
 * @throws DomainError `integrity` where it is for somebody else, was changed, or is not the generator's
 */
export async function openSealed<K extends Statement["kind"]>(
  { keys, now = new Date(), trustBundle }: TicketOpener,
  { certificateChain, ticket }: SealedTicket,
  kind: K,
): Promise<{ key: SecretBytes; statement: StatementOf<K>; jws: string }> {
  const keyId = ticketKeyId(ticket);
  if (keyId === undefined) throw damaged("it is no ticket");
  const privateKey = keys.find(keyId);
  if (privateKey === undefined)
    throw damaged("it was sealed to a recipient key that this identity does not have");
  const signer = trustedSigner(certificateChain, trustBundle, now);
  const { jws, key } = await openTicket(ticket, privateKey);
  return { key, jws, statement: verifiedOrCleared(jws, key, kind, signer) };
}

/** Where the statement fails, nothing of the key stays. */
export function verifiedOrCleared<K extends Statement["kind"]>(
  jws: string,
  key: SecretBytes,
  kind: K,
  signer: Uint8Array,
): StatementOf<K> {
  try {
    return verifyStatement(jws, { key, kind, signer });
  } catch (error) {
    key[Symbol.dispose]();
    throw error;
  }
}

/** The key of a certificate that this trust domain gave to the generator's key distribution, and to nobody else. */
export function trustedSigner(chain: string, trustBundle: string, now: Date): Uint8Array {
  const name = `${trustBundle}\n${chain}`;
  const known = signers.get(name);
  if (known !== undefined && now.getTime() < known.notAfter) return known.key;
  try {
    const [leaf, ...intermediates] = splitChain(chain).map((der) => readCertificate(der));
    const roots = splitChain(trustBundle).map((der) => readCertificate(der));
    const verdict = verifyChain({ leaf: leaf!, intermediates, roots, at: now });
    if (!verdict.trusted) throw new Error(verdict.reasons[0]);
    if (leaf!.uris.length !== 1 || leaf!.uris[0] !== ticketSignerName) throw new Error("another name");
    if (signers.size >= signersMax) signers.clear();
    const key = leaf!.subjectPublicKeyInfo;
    signers.set(name, {
      key,
      notAfter: Math.min(...verdict.chain.map(({ notAfter }) => notAfter.getTime())),
    });
    return key;
  } catch (cause) {
    throw damaged("what it says is signed by nobody whom this identity's trust bundle vouches for", cause);
  }
}

/** A ticket as a file: JSON, for whoever it is handed to. */
export function formatTicket({ certificateChain, ticket }: SealedTicket): string {
  return `${JSON.stringify({ v: 1, ticket, certificateChain }, null, 2)}\n`;
}

/** @throws DomainError `integrity` */
export function parseTicket(text: string): SealedTicket {
  let parsed: { v?: unknown; ticket?: unknown; certificateChain?: unknown } | null | undefined;
  try {
    if (text.length <= ticketTextMax) parsed = JSON.parse(text) as { v?: unknown } | null;
  } catch {
    // Said below.
  }
  const { certificateChain, ticket, v } = parsed ?? {};
  if (v !== 1 || typeof ticket !== "string" || typeof certificateChain !== "string") {
    throw damaged("it is not a ticket of Claviger's");
  }
  return { ticket, certificateChain };
}
