import { DomainError } from "@claviger/domain-error";
import { readExtensionList } from "./certificate-body.ts";
import { contextTag, derTags } from "./der.ts";
import {
  createDerReader,
  type DerReader,
  derToNumber,
  derToOid,
  readDer,
  readDerChildren,
} from "./der-reader.ts";
import { oids } from "./oids.ts";

/** A request with ten entries and a nonce has about 900 octets. */
export const ocspRequestBytesMax = 4096;
export const ocspEntriesMax = 10;
/** RFC 8954 section 2.1. */
const nonceBytesMax = 32;
const serialBytesMax = 20;
const what = "the OCSP request";

/** Hashes by which a request may name its issuer. */
const issuerHashes: Readonly<Record<string, { name: OcspHash; bytes: number }>> = {
  [oids.sha1]: { name: "sha1", bytes: 20 },
  [oids.sha256]: { name: "sha256", bytes: 32 },
  [oids.sha384]: { name: "sha384", bytes: 48 },
  [oids.sha512]: { name: "sha512", bytes: 64 },
};

export type OcspHash = "sha1" | "sha256" | "sha384" | "sha512";

/** CertID (RFC 6960 section 4.1.1): which certificate is asked about. */
export interface OcspCertificateId {
  hash: OcspHash;
  issuerNameHash: Uint8Array;
  issuerKeyHash: Uint8Array;
  /** Lower-case hex of the content octets, as serials are written everywhere in Claviger. */
  serial: string;
  /** DER as it came: an answer repeats it to the byte. */
  encoded: Uint8Array;
}

export interface OcspRequest {
  certificates: OcspCertificateId[];
  /** The nonce's octets, where the request has one. */
  nonce?: Uint8Array;
}

/**
 * Reads an OCSPRequest. Its signature, where it has one, is not looked at: everybody gets the same answers.
 *
 * @throws DomainError `invalid-argument` for what is answered with malformedRequest
 */
export function readOcspRequest(der: Uint8Array): OcspRequest {
  if (der.length > ocspRequestBytesMax) throw refuse(`${what} is longer than ${ocspRequestBytesMax} bytes`);
  const outer = createDerReader(readDer(der, what, derTags.sequence).content, what);
  const body = createDerReader(outer.next(derTags.sequence, "its body").content, what);
  outer.optional(contextTag(0, true));
  outer.end();
  checkVersion(body);
  // requestorName: whoever asks gets the same answer.
  body.optional(contextTag(1, true));
  const list = readDerChildren(body.next(derTags.sequence, "its list"), what);
  const extensions = body.optional(contextTag(2, true));
  body.end();
  if (list.length === 0) throw refuse(`${what} asks about nothing`);
  if (list.length > ocspEntriesMax)
    throw refuse(`${what} asks about more than ${ocspEntriesMax} certificates`);
  const certificates = list.map(({ encoded }) => readEntry(encoded));
  const nonce = extensions === undefined ? undefined : readNonce(extensions.content);
  return nonce === undefined ? { certificates } : { certificates, nonce };
}

function checkVersion(body: DerReader): void {
  const version = body.optional(contextTag(0, true));
  if (version === undefined) return;
  // v1 is the default, which DER leaves out; some clients write it all the same.
  if (derToNumber(readDer(version.content, what, derTags.integer), what) !== 0) {
    throw refuse(`${what} is of an unknown version`);
  }
}

function readEntry(encoded: Uint8Array): OcspCertificateId {
  const entry = createDerReader(readDer(encoded, what, derTags.sequence).content, what);
  const id = entry.next(derTags.sequence, "a certificate's id");
  const extensions = entry.optional(contextTag(0, true));
  entry.end();
  if (extensions !== undefined) refuseCritical(extensions.content);
  const fields = createDerReader(id.content, what);
  const algorithm = createDerReader(fields.next(derTags.sequence, "its hash").content, what);
  const form = issuerHashes[derToOid(algorithm.next(derTags.oid, "its hash"), what)];
  algorithm.optional(derTags.null);
  algorithm.end();
  if (form === undefined) throw refuse(`${what} names its issuer by a hash that is not known here`);
  const issuerNameHash = fields.next(derTags.octetString, "its issuer's name").content;
  const issuerKeyHash = fields.next(derTags.octetString, "its issuer's key").content;
  const serial = fields.next(derTags.integer, "its serial").content;
  fields.end();
  if (issuerNameHash.length !== form.bytes || issuerKeyHash.length !== form.bytes) {
    throw refuse(`${what} has a hash of the wrong length`);
  }
  if (serial.length === 0 || serial.length > serialBytesMax)
    throw refuse(`${what} has no serial of 1 to 20 octets`);
  return {
    hash: form.name,
    issuerNameHash,
    issuerKeyHash,
    serial: Buffer.from(serial).toString("hex"),
    encoded: id.encoded,
  };
}

/** A critical extension that is not understood makes a request one that cannot be answered (RFC 6960 section 4.4). */
function readNonce(list: Uint8Array): Uint8Array | undefined {
  const extensions = readExtensionList(list, "the extensions of the OCSP request");
  for (const [type, { critical }] of extensions) {
    if (critical && type !== oids.ocspNonce)
      throw refuse(`${what} has the unknown critical extension ${type}`);
  }
  const found = extensions.get(oids.ocspNonce);
  if (found === undefined) return undefined;
  const { content } = readDer(found.value, "the nonce", derTags.octetString);
  if (content.length === 0 || content.length > nonceBytesMax) {
    throw refuse(`a nonce has 1 to ${nonceBytesMax} octets (RFC 8954 section 2.1)`);
  }
  return content;
}

function refuseCritical(list: Uint8Array): void {
  for (const [type, { critical }] of readExtensionList(list, "the extensions of an entry")) {
    if (critical) throw refuse(`${what} has the unknown critical extension ${type}`);
  }
}

function refuse(message: string): DomainError {
  return new DomainError("invalid-argument", message);
}
