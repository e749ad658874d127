import { X509Certificate } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import {
  decodeAuthorityKeyId,
  decodeBasicConstraints,
  decodeKeyUsage,
  decodeSubjectKeyId,
  readCertificateBody,
} from "./certificate-body.ts";
import type { KeyUsageName } from "./extensions.ts";
import { decodeSubjectAltNames } from "./name-encoding.ts";
import type { SubjectAltName } from "./names.ts";
import { oids } from "./oids.ts";
import { decodePemBlocks, pemOrDer } from "./pem.ts";

export const certificateBytesMax = 64 * 1024;

export interface Certificate {
  der: Uint8Array;
  /** Lower-case hex of the serial's content octets in DER, a sign octet 00 included. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
  /** DER of the names: they are compared byte for byte. */
  issuer: Uint8Array;
  subject: Uint8Array;
  subjectPublicKeyInfo: Uint8Array;
  /** As encoded: in order, with repetitions. */
  subjectAltNames: SubjectAltName[];
  /** The URIs among them. */
  uris: string[];
  isCa: boolean;
  pathLength?: number;
  /** Absent when the certificate says nothing about usages. */
  keyUsage?: KeyUsageName[];
  subjectKeyId?: Uint8Array;
  authorityKeyId?: Uint8Array;
  /** Types of the extensions marked critical. */
  criticalExtensions: string[];
  /** Lower-case hex, without colons. */
  fingerprintSha256: string;
  /** The same certificate as OpenSSL reads it, for signatures. */
  x509: X509Certificate;
}

/**
 * Reads one certificate. Everything in the result comes from the DER itself: the textual subject
 * alternative name of node:crypto has been ambiguous before (CVE-2021-44532), and an identity hangs on it.
 *
 * @throws DomainError `invalid-argument` for anything but one well-formed v3 certificate.
 */
export function readCertificate(pem: string | Uint8Array): Certificate {
  const bytes = typeof pem === "string" ? Buffer.from(pem, "utf8") : pem;
  const der = pemOrDer(bytes, "CERTIFICATE", { bytesMax: certificateBytesMax });
  const body = readCertificateBody(der);
  const x509 = parseWithOpenSsl(der);
  const extensionOf = (type: string) => body.extensions.get(type)?.value;
  const names = extensionOf(oids.subjectAltName);
  const constraints = extensionOf(oids.basicConstraints);
  const usage = extensionOf(oids.keyUsage);
  const subjectKey = extensionOf(oids.subjectKeyIdentifier);
  const authority = extensionOf(oids.authorityKeyIdentifier);
  const subjectAltNames = names === undefined ? [] : decodeSubjectAltNames(names);
  const { ca, pathLength } = constraints === undefined ? { ca: false } : decodeBasicConstraints(constraints);
  const authorityKeyId = authority === undefined ? undefined : decodeAuthorityKeyId(authority);
  return {
    der,
    serial: Buffer.from(body.serialContent).toString("hex"),
    notBefore: body.notBefore,
    notAfter: body.notAfter,
    issuer: body.issuer,
    subject: body.subject,
    subjectPublicKeyInfo: body.subjectPublicKeyInfo,
    subjectAltNames,
    uris: subjectAltNames.flatMap((name) => ("uri" in name ? [name.uri] : [])),
    isCa: ca,
    ...(pathLength === undefined ? {} : { pathLength }),
    ...(usage === undefined ? {} : { keyUsage: decodeKeyUsage(usage) }),
    ...(subjectKey === undefined ? {} : { subjectKeyId: decodeSubjectKeyId(subjectKey) }),
    ...(authorityKeyId === undefined ? {} : { authorityKeyId }),
    criticalExtensions: [...body.extensions].filter(([, { critical }]) => critical).map(([type]) => type),
    fingerprintSha256: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
    x509,
  };
}

/** The certificates of a PEM text, in order, each as DER. Other blocks are refused. */
export function splitChain(pem: string | Uint8Array): Uint8Array[] {
  const blocks = decodePemBlocks(pem);
  const stranger = blocks.find(({ label }) => label !== "CERTIFICATE");
  if (stranger !== undefined) {
    throw new DomainError("invalid-argument", `the chain holds a ${stranger.label} among its certificates`, {
      hint: "Keep keys and requests in files of their own.",
    });
  }
  if (blocks.length === 0) throw new DomainError("invalid-argument", "the chain holds no certificate");
  return blocks.map(({ der }) => der);
}

function parseWithOpenSsl(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw new DomainError("invalid-argument", "the certificate cannot be read by OpenSSL", { cause: error });
  }
}
