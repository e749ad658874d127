import { DomainError } from "@claviger/domain-error";
import { CertificationRequest } from "@peculiar/asn1-csr";
import { AsnConvert } from "@peculiar/asn1-schema";
import type { Attribute } from "@peculiar/asn1-x509";
import { decodeBasicConstraints, type ExtensionValue, readExtensionList } from "./certificate-body.ts";
import { contextTag, derTags } from "./der.ts";
import {
  checkDer,
  createDerReader,
  type DerReader,
  derToBits,
  derToNumber,
  readDer,
  readDerChildren,
} from "./der-reader.ts";
import { decodeSubjectAltNames, readNameAttributes, readNameText } from "./name-encoding.ts";
import { checkSubjectAltNames, type Name, type SubjectAltName } from "./names.ts";
import { oids } from "./oids.ts";
import { pemOrDer } from "./pem.ts";
import { type KeyType, loadPublicKey } from "./public-key.ts";
import { verifyRequestSignature } from "./request-signature.ts";

export const csrBytesMax = 16 * 1024;
const extensionsMax = 32;
const attributesMax = 16;
const what = "the certificate request";

export interface CertificateSigningRequest {
  /** Common name and organization, where the request has them. */
  subject: Name;
  /** Canonical, each once, in the order asked for. */
  subjectAltNames: SubjectAltName[];
  /** The DER as it came. */
  subjectPublicKeyInfo: Uint8Array;
  keyType: KeyType;
  /** Types of subject attributes that were read and have no effect. */
  ignoredSubjectAttributes: string[];
  /** Types of requested extensions without effect: unknown ones, and usages, which the profile decides. */
  ignoredExtensions: string[];
  /** Types of attributes without effect. */
  ignoredAttributes: string[];
}

/** Known, so they may be critical, but decided by the profile or computed, so they have no effect. */
const withoutEffect = new Set<string>([oids.keyUsage, oids.extendedKeyUsage, oids.subjectKeyIdentifier]);

/**
 * Reads a PKCS #10 request (RFC 2986), PEM or DER, and verifies its signature over the bytes that came.
 * Nothing in the result is authority: it says what is asked for, by whoever holds the key.
 *
 * @throws DomainError `invalid-argument`, with a message of its own for each thing that can be wrong.
 */
export function parseCertificateSigningRequest(bytes: Uint8Array): CertificateSigningRequest {
  const labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
  const der = pemOrDer(bytes, labels, { bytesMax: csrBytesMax, blocksMax: 2 });
  // First, so that what the library reads leniently, and we read in slices, has one reading only.
  checkDer(der, what);
  const slices = sliceRequest(der);
  const { key, keyType } = loadPublicKey(slices.subjectPublicKeyInfo);
  verifyRequestSignature({ key, ...slices });
  const request = parseWithLibrary(der);
  const { subject, ignoredSubjectAttributes } = readSubject(slices.subject);
  const attributes = readAttributes(request.certificationRequestInfo.attributes ?? []);
  const { subjectAltNames, ignoredExtensions } = readExtensions(attributes.extensions);
  return {
    subject,
    subjectAltNames,
    subjectPublicKeyInfo: new Uint8Array(slices.subjectPublicKeyInfo),
    keyType,
    ignoredSubjectAttributes,
    ignoredExtensions,
    ignoredAttributes: attributes.ignored,
  };
}

interface RequestSlices {
  signed: Uint8Array;
  algorithm: Uint8Array;
  signature: Uint8Array;
  subject: Uint8Array;
  subjectPublicKeyInfo: Uint8Array;
}

function sliceRequest(der: Uint8Array): RequestSlices {
  const outer = createDerReader(readDer(der, what, derTags.sequence).content, what);
  const info = outer.next(derTags.sequence, "its body");
  const algorithm = outer.next(derTags.sequence, "its signature's algorithm").encoded;
  const signature = derToBits(outer.next(derTags.bitString, "its signature"), what);
  outer.end();
  if (signature.unusedBits !== 0) throw refuse("the request's signature is not a whole number of octets");
  const body = createDerReader(info.content, what);
  checkVersion(body);
  const subject = body.next(derTags.sequence, "its subject").encoded;
  const subjectPublicKeyInfo = body.next(derTags.sequence, "its public key").encoded;
  checkAttributes(body);
  return { signed: info.encoded, algorithm, signature: signature.bytes, subject, subjectPublicKeyInfo };
}

function checkVersion(body: DerReader): void {
  const version = body.next(derTags.integer, "its version");
  // RFC 2986 section 4.1: v1, written as 0, is the only version.
  if (derToNumber(version, what) !== 0)
    throw refuse("the request's version is unknown", "Make a PKCS #10 version 1 request.");
}

/** The library passes over members that a type does not have; here each is counted. */
function checkAttributes(body: DerReader): void {
  // Written as required in RFC 2986's module and as optional in its text: tools do both.
  const attributes = body.optional(contextTag(0, true));
  body.end();
  for (const member of attributes === undefined ? [] : readDerChildren(attributes, what)) {
    const fields = createDerReader(readDer(member.encoded, what, derTags.sequence).content, what);
    fields.next(derTags.oid, "an attribute's type");
    fields.next(derTags.set, "an attribute's values");
    fields.end();
  }
}

function readSubject(der: Uint8Array): { subject: Name; ignoredSubjectAttributes: string[] } {
  const subject: Name = {};
  const ignoredSubjectAttributes: string[] = [];
  for (const { type, value } of readNameAttributes(der, "the subject")) {
    const field =
      type === oids.commonName ? "commonName" : type === oids.organization ? "organization" : undefined;
    if (field === undefined) {
      readNameText(value, `the subject's attribute ${type}`);
      ignoredSubjectAttributes.push(type);
      continue;
    }
    const words = field === "commonName" ? "common name" : "organization";
    if (subject[field] !== undefined) throw refuse(`the subject has more than one ${words}`);
    subject[field] = readNameText(value, `the subject's ${words}`);
  }
  return { subject, ignoredSubjectAttributes };
}

function readAttributes(attributes: readonly Attribute[]): {
  extensions: Map<string, ExtensionValue>;
  ignored: string[];
} {
  if (attributes.length > attributesMax)
    throw refuse(`the request has more than ${attributesMax} attributes`);
  const duplicate = firstDuplicate(attributes.map(({ type }) => type));
  if (duplicate === oids.extensionRequest) throw refuse("the request asks for extensions in two attributes");
  if (duplicate !== undefined) throw refuse(`the request has the attribute ${duplicate} twice`);
  const request = attributes.find(({ type }) => type === oids.extensionRequest);
  const ignored = attributes.filter((attribute) => attribute !== request).map(({ type }) => type);
  if (request === undefined) return { extensions: new Map(), ignored };
  const [value] = request.values;
  if (value === undefined || request.values.length !== 1) {
    throw refuse("the request's extension attribute must have exactly one value");
  }
  const extensions = readExtensionList(new Uint8Array(value), "the list of requested extensions");
  return { extensions, ignored };
}

function readExtensions(extensions: ReadonlyMap<string, ExtensionValue>): {
  subjectAltNames: SubjectAltName[];
  ignoredExtensions: string[];
} {
  if (extensions.size > extensionsMax)
    throw refuse(`the request asks for more than ${extensionsMax} extensions`);
  const ignoredExtensions: string[] = [];
  let subjectAltNames: SubjectAltName[] = [];
  for (const [type, { critical, value }] of extensions) {
    if (type === oids.subjectAltName) subjectAltNames = checkSubjectAltNames(decodeSubjectAltNames(value));
    else if (type === oids.basicConstraints) refuseCa(value);
    else if (critical && !withoutEffect.has(type)) {
      throw refuse(`the request marks the unknown extension ${type} as critical`, "Leave it out.");
    } else ignoredExtensions.push(type);
  }
  return { subjectAltNames, ignoredExtensions };
}

function refuseCa(value: Uint8Array): void {
  checkDer(value, "the requested basic constraints extension");
  if (decodeBasicConstraints(value).ca) {
    throw refuse("the request asks for a CA certificate", "CA certificates are made by Claviger alone.");
  }
}

function firstDuplicate(values: readonly string[]): string | undefined {
  return values.find((value, index) => values.indexOf(value) !== index);
}

function parseWithLibrary(der: Uint8Array): CertificationRequest {
  try {
    return AsnConvert.parse(der, CertificationRequest);
  } catch (error) {
    throw new DomainError("invalid-argument", `${what} does not have the structure of its type`, {
      hint: "Make it with a current tool, such as openssl req.",
      cause: error,
    });
  }
}

function refuse(message: string, hint?: string): DomainError {
  return new DomainError("invalid-argument", message, { hint });
}
