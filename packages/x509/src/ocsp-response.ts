import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { type RevocationReason, revocationReasons } from "./crl.ts";
import {
  contextConstructed,
  contextPrimitive,
  derTags,
  enumerated,
  generalizedTime,
  octetString,
  oid,
  sequence,
  tlv,
} from "./der.ts";
import { createDerReader, derToBits, readDer } from "./der-reader.ts";
import { extension } from "./extensions.ts";
import { oids } from "./oids.ts";
import { attachSignature, type CertificateSigner } from "./signer.ts";

/** OCSPResponseStatus (RFC 6960 section 4.2.1) of answers that say nothing about a certificate, and are not signed. */
export const ocspRefusals = { malformedRequest: 1, internalError: 2, tryLater: 3, unauthorized: 6 } as const;
export type OcspRefusal = keyof typeof ocspRefusals;

export type OcspStatus =
  | { status: "good" }
  | { status: "revoked"; revokedAt: Date; reason: RevocationReason }
  | { status: "unknown" };

export interface OcspEntry {
  /** CertID, DER as the request has it. */
  certificateId: Uint8Array;
  status: OcspStatus;
}

export interface OcspResponseOptions {
  entries: readonly OcspEntry[];
  producedAt: Date;
  thisUpdate: Date;
  nextUpdate: Date;
  nonce?: Uint8Array | undefined;
  /** Whose key signs; the answer names it by that key. */
  responderPublicKeyInfo: Uint8Array;
}

/** An unsigned answer: five octets. */
export function ocspRefusal(refusal: OcspRefusal): Uint8Array {
  return sequence([enumerated(ocspRefusals[refusal])]);
}

/** ResponseData, the bytes that are signed. */
export function encodeOcspResponseData(options: OcspResponseOptions): Uint8Array {
  if (options.entries.length === 0) throw new DomainError("internal", "an OCSP answer says nothing");
  const times = [
    generalizedTime(options.thisUpdate),
    contextConstructed(0, [generalizedTime(options.nextUpdate)]),
  ];
  const responses = options.entries.map(({ certificateId, status }) =>
    sequence([certificateId, encodeStatus(status), ...times]),
  );
  const nonce =
    options.nonce === undefined
      ? []
      : [contextConstructed(1, [sequence([extension(oids.ocspNonce, octetString(options.nonce))])])];
  return sequence([
    contextConstructed(2, [octetString(sha1OfKey(options.responderPublicKeyInfo))]),
    generalizedTime(options.producedAt),
    sequence(responses),
    ...nonce,
  ]);
}

/** The whole OCSPResponse, with the delegated responder's certificate in it. */
export function assembleOcspResponse(
  responseData: Uint8Array,
  signer: CertificateSigner,
  signature: Uint8Array,
  responderCertificate: Uint8Array,
): Uint8Array {
  const certificates = contextConstructed(0, [sequence([responderCertificate])]);
  const basic = attachSignature(responseData, signer, signature, certificates);
  const bytes = sequence([oid(oids.ocspBasic), octetString(basic)]);
  return sequence([enumerated(0), contextConstructed(0, [bytes])]);
}

function encodeStatus(status: OcspStatus): Uint8Array {
  if (status.status === "good") return contextPrimitive(0, new Uint8Array(0));
  if (status.status === "unknown") return contextPrimitive(2, new Uint8Array(0));
  const reason =
    // RFC 6960 section 4.2.1 leaves it optional; "unspecified" says nothing, as on a CRL.
    status.reason === "unspecified"
      ? []
      : [contextConstructed(0, [enumerated(revocationReasons[status.reason])])];
  return contextConstructed(1, [generalizedTime(status.revokedAt), ...reason]);
}

/** KeyHash is SHA-1 by definition (RFC 6960 section 4.2.1); it finds a certificate, and protects nothing. */
function sha1OfKey(subjectPublicKeyInfo: Uint8Array): Uint8Array {
  return createHash("sha1").update(publicKeyBits(subjectPublicKeyInfo)).digest();
}

/** The content of a public key's BIT STRING, without its count of unused bits: what CertID and KeyHash are over. */
export function publicKeyBits(subjectPublicKeyInfo: Uint8Array): Uint8Array {
  const what = "the public key";
  const spki = createDerReader(readDer(subjectPublicKeyInfo, what, derTags.sequence).content, what);
  spki.next(derTags.sequence, "its algorithm");
  const { bytes } = derToBits(spki.next(derTags.bitString, "the key itself"), what);
  spki.end();
  return bytes;
}

/** CertID for a certificate of this issuer: what a client that uses `hash` will ask for, to the byte. */
export function encodeOcspCertificateId(
  hash: "sha1" | "sha256",
  issuer: { subject: Uint8Array; subjectPublicKeyInfo: Uint8Array },
  serial: Uint8Array,
): Uint8Array {
  const digest = (bytes: Uint8Array): Uint8Array => octetString(createHash(hash).update(bytes).digest());
  return sequence([
    sequence([oid(oids[hash]), tlv(derTags.null, new Uint8Array(0))]),
    digest(issuer.subject),
    digest(publicKeyBits(issuer.subjectPublicKeyInfo)),
    tlv(derTags.integer, serial),
  ]);
}
