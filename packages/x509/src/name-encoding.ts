import { DomainError } from "@claviger/domain-error";
import { asciiBytes, contextPrimitive, contextTag, derTags, oid, sequence, set, utf8String } from "./der.ts";
import { createDerReader, type DerValue, derToOid, readDer, readDerChildren } from "./der-reader.ts";
import { ipFromBytes, ipToBytes } from "./ip-address.ts";
import {
  checkNameText,
  checkSubjectAltName,
  checkSubjectAltNames,
  type Name,
  type SubjectAltName,
} from "./names.ts";
import { oids } from "./oids.ts";

const nameAttributesMax = 32;

/** Numbers of the GeneralName alternatives that Claviger uses (RFC 5280 section 4.2.1.6). */
export const generalNameTags = { email: 1, dns: 2, uri: 6, ip: 7 } as const;

/** UTF8String throughout, as RFC 5280 section 4.1.2.4 asks; the organisation comes before the common name. */
export function encodeName(name: Name): Uint8Array {
  const names: Uint8Array[] = [];
  if (name.organization !== undefined) {
    names.push(encodeAttribute(oids.organization, checkNameText(name.organization, "the organization")));
  }
  if (name.commonName !== undefined) {
    names.push(encodeAttribute(oids.commonName, checkNameText(name.commonName, "the common name")));
  }
  return sequence(names);
}

/** A name is encoded; DER is checked to be a non-empty one (RFC 5280 section 4.1.2.4). */
export function encodeIssuer(issuer: Name | Uint8Array): Uint8Array {
  const encoded = issuer instanceof Uint8Array ? issuer : encodeName(issuer);
  if (readDer(encoded, "the issuer", derTags.sequence).content.length === 0) {
    throw new DomainError("invalid-argument", "the issuer's name is empty");
  }
  return encoded;
}

function encodeAttribute(type: string, text: string): Uint8Array {
  return set([sequence([oid(type), utf8String(text)])]);
}

/** GeneralNames, checked, in their canonical form, each once. */
export function encodeSubjectAltNames(names: readonly SubjectAltName[]): Uint8Array {
  return sequence(
    checkSubjectAltNames(names).map((name) => {
      if ("dns" in name) return contextPrimitive(generalNameTags.dns, asciiBytes(name.dns));
      if ("ip" in name) return contextPrimitive(generalNameTags.ip, ipToBytes(name.ip));
      if ("uri" in name) return contextPrimitive(generalNameTags.uri, asciiBytes(name.uri));
      return contextPrimitive(generalNameTags.email, asciiBytes(name.email));
    }),
  );
}

/**
 * GeneralNames as they are encoded: in order, with repetitions, each checked. Kinds that Claviger
 * does not use (otherName, directoryName, …) are refused.
 */
export function decodeSubjectAltNames(der: Uint8Array): SubjectAltName[] {
  const what = "the subject alternative name";
  const members = readDerChildren(readDer(der, what, derTags.sequence), what);
  if (members.length === 0) throw new DomainError("invalid-argument", `${what} is an empty list`);
  const names = members.map(decodeGeneralName);
  checkSubjectAltNames(names);
  return names.map(checkSubjectAltName);
}

function decodeGeneralName(member: DerValue): SubjectAltName {
  switch (member.tag) {
    case contextTag(generalNameTags.dns, false):
      return { dns: asciiText(member.content) };
    case contextTag(generalNameTags.uri, false):
      return { uri: asciiText(member.content) };
    case contextTag(generalNameTags.email, false):
      return { email: asciiText(member.content) };
    case contextTag(generalNameTags.ip, false):
      return { ip: ipFromBytes(member.content) };
    default:
      throw new DomainError(
        "invalid-argument",
        "a subject alternative name is of a kind that is not supported",
        {
          hint: "Use DNS names, IP addresses, URIs and e-mail addresses.",
        },
      );
  }
}

function asciiText(bytes: Uint8Array): string {
  if (bytes.some((octet) => octet > 0x7f)) {
    throw new DomainError(
      "invalid-argument",
      "a subject alternative name is not ASCII, as IA5String must be",
    );
  }
  return Buffer.from(bytes).toString("latin1");
}

export interface NameAttribute {
  /** The type's object identifier. */
  type: string;
  value: DerValue;
}

/** The attributes of a distinguished name, in order, whatever their types. */
export function readNameAttributes(der: Uint8Array, what: string): NameAttribute[] {
  const attributes: NameAttribute[] = [];
  for (const relativeName of readDerChildren(readDer(der, what, derTags.sequence), what)) {
    const members = relativeName.tag === derTags.set ? readDerChildren(relativeName, what) : [];
    // RelativeDistinguishedName ::= SET SIZE (1..MAX)
    if (members.length === 0) throw new DomainError("invalid-argument", `${what} has an empty part`);
    for (const member of members) {
      const pair = createDerReader(readDer(member.encoded, what, derTags.sequence).content, what);
      const type = derToOid(pair.next(derTags.oid, "an attribute's type"), what);
      attributes.push({ type, value: pair.any("an attribute's value") });
      pair.end();
    }
    if (attributes.length > nameAttributesMax) {
      throw new DomainError("invalid-argument", `${what} has more than ${nameAttributesMax} attributes`);
    }
  }
  return attributes;
}

/**
 * The text of an attribute in one of the string types that have one reading only. TeletexString,
 * BMPString and UniversalString are obsolete (RFC 5280 section 4.1.2.4) and refused.
 */
export function readNameText(value: DerValue, attribute: string): string {
  const bytes = value.content;
  if (value.tag === derTags.utf8String) {
    try {
      return checkNameText(
        new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
        attribute,
      );
    } catch (error) {
      if (error instanceof DomainError) throw error;
      throw new DomainError("invalid-argument", `${attribute} is not valid UTF-8`, { cause: error });
    }
  }
  const isAscii = value.tag === derTags.printableString || value.tag === derTags.ia5String;
  if (!isAscii || bytes.some((octet) => octet > 0x7f)) {
    throw new DomainError("invalid-argument", `${attribute} is not UTF-8 or ASCII text`, {
      hint: "Encode names as UTF8String or PrintableString.",
    });
  }
  return checkNameText(Buffer.from(bytes).toString("latin1"), attribute);
}

/** A distinguished name in words, for a person; it decides nothing. */
export function describeName(der: Uint8Array): string {
  const labels: Record<string, string> = { [oids.commonName]: "CN", [oids.organization]: "O" };
  const parts = readNameAttributes(der, "a distinguished name").map(({ type, value }) => {
    const text = Buffer.from(value.content.subarray(0, 256)).toString("utf8");
    return `${labels[type] ?? type}=${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\ufffd]/gu, "?")}`;
  });
  return parts.length === 0 ? "(empty name)" : parts.join(", ");
}
