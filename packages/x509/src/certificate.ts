import { DomainError } from "@claviger/domain-error";
import { contextConstructed, derNull, derTags, integerFromNumber, sequence, time } from "./der.ts";
import { readDer } from "./der-reader.ts";
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  type BasicConstraints,
  basicConstraints,
  crlDistributionPoints,
  type ExtendedKeyUsageName,
  extendedKeyUsage,
  extension,
  type KeyUsageName,
  keyIdentifier,
  keyUsage,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { encodeIssuer, encodeName, encodeSubjectAltNames } from "./name-encoding.ts";
import { isEmptyName, type Name, type SubjectAltName } from "./names.ts";
import { oids } from "./oids.ts";
import { encodeSerial } from "./serial.ts";
import { assembleSigned, type CertificateSigner, signatureIdentifier } from "./signer.ts";

export interface CertificateOptions {
  serial: Uint8Array;
  /** A name, or the DER of the CA certificate's subject: the two must agree to the byte. */
  issuer: Name | Uint8Array;
  subject: Name;
  notBefore: Date;
  /** The last moment at which the certificate holds, to the second. */
  notAfter: Date;
  subjectPublicKeyInfo: Uint8Array;
  /**
   * The issuing certificate's subject key identifier. Give it when that certificate was made
   * elsewhere; otherwise it is computed from the signer's key, as this package computes its own.
   */
  authorityKeyId?: Uint8Array | undefined;
  basicConstraints?: BasicConstraints | undefined;
  keyUsage: readonly KeyUsageName[];
  extendedKeyUsage?: readonly ExtendedKeyUsageName[] | undefined;
  subjectAltNames?: readonly SubjectAltName[] | undefined;
  crlDistributionPoints?: readonly string[] | undefined;
  /** Where the issuing certificate can be had. */
  caIssuers?: readonly string[] | undefined;
  /** Addresses of OCSP responders. */
  ocsp?: readonly string[] | undefined;
  /** For a delegated OCSP responder: nobody need ask whether it is revoked (RFC 6960 section 4.2.2.2.1). */
  ocspNoCheck?: boolean | undefined;
  signer: CertificateSigner;
}

/**
 * The DER of a signed X.509 v3 certificate. It always carries subject and authority key identifiers.
 *
 * @throws DomainError `invalid-argument` for what RFC 5280 forbids, `internal` for a signer that
 * answers nonsense, and whatever the signer throws.
 */
export async function buildCertificate(options: CertificateOptions): Promise<Uint8Array> {
  checkConsistency(options);
  return assembleSigned(encodeTbsCertificate(options), options.signer);
}

function encodeTbsCertificate(options: CertificateOptions): Uint8Array {
  return sequence([
    // Version [0] EXPLICIT, v3 is 2.
    contextConstructed(0, [integerFromNumber(2)]),
    encodeSerial(options.serial),
    signatureIdentifier(options.signer),
    encodeIssuer(options.issuer),
    sequence([time(options.notBefore), time(options.notAfter)]),
    encodeName(options.subject),
    readDer(options.subjectPublicKeyInfo, "the public key", derTags.sequence).encoded,
    contextConstructed(3, [sequence(encodeExtensions(options))]),
  ]);
}

function encodeExtensions(options: CertificateOptions): Uint8Array[] {
  const { extendedKeyUsage: extendedUsages = [], subjectAltNames = [], caIssuers = [], ocsp = [] } = options;
  const points = options.crlDistributionPoints ?? [];
  const authority = options.authorityKeyId ?? keyIdentifier(options.signer.subjectPublicKeyInfo);
  const extensions = [
    subjectKeyIdentifier(keyIdentifier(options.subjectPublicKeyInfo)),
    authorityKeyIdentifier(authority),
    basicConstraints(options.basicConstraints ?? { ca: false }),
    keyUsage(options.keyUsage),
  ];
  if (extendedUsages.length > 0) extensions.push(extendedKeyUsage(extendedUsages));
  if (subjectAltNames.length > 0) {
    // RFC 5280 section 4.2.1.6: critical when the subject is empty, and only then.
    const names = encodeSubjectAltNames(subjectAltNames);
    extensions.push(extension(oids.subjectAltName, names, isEmptyName(options.subject)));
  }
  if (points.length > 0) extensions.push(crlDistributionPoints(points));
  if (caIssuers.length + ocsp.length > 0) extensions.push(authorityInfoAccess(caIssuers, ocsp));
  if (options.ocspNoCheck === true) extensions.push(extension(oids.ocspNoCheck, derNull()));
  return extensions;
}

function checkConsistency(options: CertificateOptions): void {
  const isCa = options.basicConstraints?.ca === true;
  const signsCertificates = options.keyUsage.includes("keyCertSign");
  if (!(options.notBefore.getTime() <= options.notAfter.getTime())) {
    throw new DomainError("invalid-argument", "a certificate must not end before it begins");
  }
  // RFC 5280 section 4.2.1.9: without the CA flag keyCertSign must not be asserted; a path length needs both.
  if (signsCertificates !== isCa) {
    throw new DomainError("invalid-argument", "keyCertSign and the CA flag must be given together");
  }
  if (isEmptyName(options.subject) && isCa) {
    throw new DomainError("invalid-argument", "a CA certificate needs a subject name");
  }
  if (isEmptyName(options.subject) && (options.subjectAltNames ?? []).length === 0) {
    throw new DomainError("invalid-argument", "a certificate needs a subject or a subject alternative name");
  }
}
