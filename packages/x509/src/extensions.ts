import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import {
  asciiBytes,
  boolean,
  contextConstructed,
  contextPrimitive,
  derTags,
  integerFromNumber,
  namedBits,
  octetString,
  oid,
  sequence,
} from "./der.ts";
import { createDerReader, derToBits, readDer } from "./der-reader.ts";
import { generalNameTags } from "./name-encoding.ts";
import { checkUri } from "./names.ts";
import { oids } from "./oids.ts";

const urisMax = 10;

/** Bit numbers of KeyUsage (RFC 5280 section 4.2.1.3). */
export const keyUsageBits = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  dataEncipherment: 3,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
  encipherOnly: 7,
  decipherOnly: 8,
} as const;

export type KeyUsageName = keyof typeof keyUsageBits;

const extendedKeyUsageOids = {
  serverAuth: oids.serverAuth,
  clientAuth: oids.clientAuth,
  OCSPSigning: oids.ocspSigning,
} as const;

export type ExtendedKeyUsageName = keyof typeof extendedKeyUsageOids;

export interface BasicConstraints {
  ca: boolean;
  /** How many further CAs may stand between this one and a leaf. */
  pathLength?: number | undefined;
}

/** `critical` is left out when false, as DER leaves out every default. */
export function extension(type: string, value: Uint8Array, critical = false): Uint8Array {
  const parts = critical ? [oid(type), boolean(true)] : [oid(type)];
  return sequence([...parts, octetString(value)]);
}

/**
 * The leftmost 160 bits of the SHA-256 of the public key's bits: method 1 of RFC 7093. RFC 5280
 * section 4.2.1.2 suggests SHA-1 but leaves the method open, and nobody recomputes it; this one has
 * the same length and also works where SHA-1 is switched off.
 */
export function keyIdentifier(subjectPublicKeyInfo: Uint8Array): Uint8Array {
  const what = "the public key";
  const spki = createDerReader(readDer(subjectPublicKeyInfo, what, derTags.sequence).content, what);
  spki.next(derTags.sequence, "its algorithm");
  const key = derToBits(spki.next(derTags.bitString, "the key itself"), what);
  spki.end();
  return new Uint8Array(createHash("sha256").update(key.bytes).digest().subarray(0, 20));
}

export function subjectKeyIdentifier(identifier: Uint8Array): Uint8Array {
  return extension(oids.subjectKeyIdentifier, octetString(identifier));
}

export function authorityKeyIdentifier(identifier: Uint8Array): Uint8Array {
  return extension(oids.authorityKeyIdentifier, sequence([contextPrimitive(0, identifier)]));
}

export function basicConstraints(constraints: BasicConstraints): Uint8Array {
  const { ca, pathLength } = constraints;
  if (pathLength !== undefined && !ca) {
    throw new DomainError("invalid-argument", "a path length belongs only to a CA certificate");
  }
  const parts = ca ? [boolean(true)] : [];
  if (pathLength !== undefined) parts.push(integerFromNumber(pathLength));
  // RFC 5280 section 4.2.1.9: critical in CA certificates, either way in others.
  return extension(oids.basicConstraints, sequence(parts), ca);
}

/** Critical, as RFC 5280 section 4.2.1.3 advises. */
export function keyUsage(usages: readonly KeyUsageName[]): Uint8Array {
  if (usages.length === 0) {
    throw new DomainError("invalid-argument", "a certificate needs at least one key usage");
  }
  return extension(oids.keyUsage, namedBits(usages.map((usage) => keyUsageBits[usage])), true);
}

export function extendedKeyUsage(usages: readonly ExtendedKeyUsageName[]): Uint8Array {
  return extension(oids.extendedKeyUsage, sequence(usages.map((usage) => oid(extendedKeyUsageOids[usage]))));
}

/** One distribution point with every address: they are alternatives for the same CRL (RFC 5280 section 4.2.1.13). */
export function crlDistributionPoints(uris: readonly string[]): Uint8Array {
  const fullName = contextConstructed(0, uris.map(uriName));
  checkUriCount(uris);
  return extension(oids.crlDistributionPoints, sequence([sequence([contextConstructed(0, [fullName])])]));
}

export function authorityInfoAccess(caIssuers: readonly string[], ocsp: readonly string[]): Uint8Array {
  checkUriCount([...caIssuers, ...ocsp]);
  const describe = (method: string) => (uri: string) => sequence([oid(method), uriName(uri)]);
  return extension(
    oids.authorityInfoAccess,
    sequence([...ocsp.map(describe(oids.ocspAccess)), ...caIssuers.map(describe(oids.caIssuersAccess))]),
  );
}

function uriName(uri: string): Uint8Array {
  return contextPrimitive(generalNameTags.uri, asciiBytes(checkUri(uri)));
}

function checkUriCount(uris: readonly string[]): void {
  if (uris.length > urisMax) {
    throw new DomainError("invalid-argument", `more than ${urisMax} addresses in one extension`);
  }
}
