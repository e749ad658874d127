import { DomainError } from "@claviger/domain-error";
import { contextTag, derTags } from "./der.ts";
import {
  checkDer,
  createDerReader,
  derToBits,
  derToBoolean,
  derToNumber,
  derToOid,
  derToTime,
  derToUnsigned,
  readDer,
  readDerChildren,
} from "./der-reader.ts";
import { type BasicConstraints, type KeyUsageName, keyUsageBits } from "./extensions.ts";

export interface ExtensionValue {
  critical: boolean;
  value: Uint8Array;
}

/** What stands in a TBSCertificate (RFC 5280 section 4.1), as slices of it. */
export interface CertificateBody {
  serialContent: Uint8Array;
  issuer: Uint8Array;
  subject: Uint8Array;
  notBefore: Date;
  notAfter: Date;
  subjectPublicKeyInfo: Uint8Array;
  extensions: Map<string, ExtensionValue>;
}

export function readCertificateBody(der: Uint8Array): CertificateBody {
  const what = "the certificate";
  checkDer(der, what);
  const outer = createDerReader(readDer(der, what, derTags.sequence).content, what);
  const tbs = createDerReader(outer.next(derTags.sequence, "its body").content, what);
  const signatureAlgorithm = outer.next(derTags.sequence, "its signature's algorithm");
  outer.next(derTags.bitString, "its signature");
  outer.end();
  const version = tbs.optional(contextTag(0, true));
  if (version === undefined || derToNumber(readDer(version.content, what, derTags.integer), what) !== 2) {
    throw refuse("the certificate is not of version 3");
  }
  const serial = tbs.next(derTags.integer, "its serial");
  derToUnsigned(serial, "the serial");
  const innerAlgorithm = tbs.next(derTags.sequence, "its algorithm");
  // RFC 5280 section 4.1.1.2: the two must be the same; only the inner one is signed.
  if (Buffer.compare(innerAlgorithm.encoded, signatureAlgorithm.encoded) !== 0) {
    throw refuse("the certificate names two different signature algorithms");
  }
  const issuer = tbs.next(derTags.sequence, "its issuer").encoded;
  const validity = createDerReader(tbs.next(derTags.sequence, "its validity").content, what);
  const notBefore = derToTime(validity.any("its first moment"), what);
  const notAfter = derToTime(validity.any("its last moment"), what);
  validity.end();
  const subject = tbs.next(derTags.sequence, "its subject").encoded;
  const subjectPublicKeyInfo = tbs.next(derTags.sequence, "its public key").encoded;
  // issuerUniqueID and subjectUniqueID: conforming CAs do not write them (section 4.1.2.8).
  tbs.optional(contextTag(1, false));
  tbs.optional(contextTag(2, false));
  const list = tbs.optional(contextTag(3, true));
  tbs.end();
  const extensions =
    list === undefined ? new Map<string, ExtensionValue>() : readExtensionList(list.content, what);
  return {
    serialContent: serial.content,
    issuer,
    subject,
    notBefore,
    notAfter,
    subjectPublicKeyInfo,
    extensions,
  };
}

/** Extensions (RFC 5280 section 4.1), each once; `what` names in errors where they stand. */
export function readExtensionList(der: Uint8Array, what: string): Map<string, ExtensionValue> {
  const extensions = new Map<string, ExtensionValue>();
  for (const member of readDerChildren(readDer(der, what, derTags.sequence), what)) {
    const fields = createDerReader(readDer(member.encoded, what, derTags.sequence).content, what);
    const type = derToOid(fields.next(derTags.oid, "an extension's type"), what);
    const critical = fields.optional(derTags.boolean);
    const value = fields.next(derTags.octetString, "an extension's value").content;
    fields.end();
    // RFC 5280 section 4.2: no more than one of each; two would let two readers see two answers.
    if (extensions.has(type)) throw refuse(`${what} has the extension ${type} twice`);
    extensions.set(type, { critical: critical !== undefined && derToBoolean(critical, what), value });
  }
  return extensions;
}

export function decodeBasicConstraints(value: Uint8Array): BasicConstraints {
  const name = "the basic constraints extension";
  const fields = createDerReader(readDer(value, name, derTags.sequence).content, name);
  const ca = fields.optional(derTags.boolean);
  const pathLength = fields.optional(derTags.integer);
  fields.end();
  return {
    ca: ca !== undefined && derToBoolean(ca, name),
    ...(pathLength === undefined ? {} : { pathLength: derToNumber(pathLength, name) }),
  };
}

export function decodeKeyUsage(value: Uint8Array): KeyUsageName[] {
  const name = "the key usage extension";
  const { bytes } = derToBits(readDer(value, name, derTags.bitString), name);
  const isSet = (bit: number) => ((bytes[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;
  return (Object.keys(keyUsageBits) as KeyUsageName[]).filter((usage) => isSet(keyUsageBits[usage]));
}

export function decodeSubjectKeyId(value: Uint8Array): Uint8Array {
  return readDer(value, "the subject key identifier", derTags.octetString).content;
}

/** The key identifier of an AuthorityKeyIdentifier; its other fields are not used (RFC 5280 section 4.2.1.1). */
export function decodeAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const name = "the authority key identifier";
  const fields = readDer(value, name, derTags.sequence);
  return createDerReader(fields.content, name).optional(contextTag(0, false))?.content;
}

function refuse(message: string): DomainError {
  return new DomainError("invalid-argument", message);
}
