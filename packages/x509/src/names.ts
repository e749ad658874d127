import { DomainError } from "@claviger/domain-error";
import { ipFromBytes, ipToBytes } from "./ip-address.ts";

export const subjectAltNamesMax = 100;
export const uriBytesMax = 2048;
/** ub-common-name and ub-organization-name (RFC 5280 appendix A.1), in characters. */
export const nameAttributeCharactersMax = 64;

/** A distinguished name as Claviger writes it. Both absent is the empty name. */
export interface Name {
  commonName?: string | undefined;
  organization?: string | undefined;
}

export type SubjectAltName = { dns: string } | { ip: string } | { uri: string } | { email: string };

/** The canonical form of one name, or a refusal that says what is wrong with it. */
export function checkSubjectAltName(name: SubjectAltName): SubjectAltName {
  if ("dns" in name) return { dns: checkDnsName(name.dns) };
  if ("ip" in name) return { ip: ipFromBytes(ipToBytes(name.ip)) };
  if ("uri" in name) return { uri: checkUri(name.uri) };
  if ("email" in name) return { email: checkEmail(name.email) };
  throw refuse("a subject alternative name must be one of dns, ip, uri or email");
}

/** Canonical forms in the order given, each once. */
export function checkSubjectAltNames(names: readonly SubjectAltName[]): SubjectAltName[] {
  if (names.length > subjectAltNamesMax) {
    throw refuse(
      `more than ${subjectAltNamesMax} subject alternative names`,
      "Split them over several certificates.",
    );
  }
  const byForm = new Map<string, SubjectAltName>();
  for (const name of names.map(checkSubjectAltName)) byForm.set(JSON.stringify(name), name);
  return [...byForm.values()];
}

/** Whether two names are the same name, with DNS names compared without regard to case. */
export function sameSubjectAltName(a: SubjectAltName, b: SubjectAltName): boolean {
  return JSON.stringify(checkSubjectAltName(a)) === JSON.stringify(checkSubjectAltName(b));
}

/**
 * A DNS name in lower case: letters, digits and hyphens (RFC 1035 section 2.3.1, RFC 1123 section 2.1),
 * at most 63 octets a label and 253 in all, `*` only as the whole leftmost label (RFC 6125 section 6.4.3).
 * Which suffixes may carry a wildcard is for the caller's profile to say.
 */
export function checkDnsName(name: string): string {
  if (name.length === 0) throw refuse("a DNS name is empty");
  // Before anything quotes or splits it: a NUL ends the name for some readers and not for others.
  if (!isPrintableAscii(name)) {
    throw refuse("a DNS name has a character that is not printable ASCII", "Write it in its xn-- form.");
  }
  if (name.length > 253) throw refuse("a DNS name is longer than 253 characters");
  if (name.endsWith(".")) throw refuse("a DNS name ends with a dot", "Leave the last dot out.");
  const labels = name.toLowerCase().split(".");
  const isWildcard = labels[0] === "*";
  const fixed = isWildcard ? labels.slice(1) : labels;
  if (fixed.length === 0) throw refuse("a DNS name is a wildcard for everything");
  for (const label of fixed) checkDnsLabel(label);
  // Resolvers and browsers read such a name as an IPv4 address.
  if (/^\d+$/.test(fixed.at(-1)!))
    throw refuse("a DNS name ends in a number", "Write an address as an IP name.");
  return labels.join(".");
}

function checkDnsLabel(label: string): void {
  if (label.length === 0) throw refuse("a DNS name has an empty label");
  if (label.length > 63) throw refuse("a DNS name has a label longer than 63 characters");
  if (label.includes("*")) throw refuse("a DNS name has * elsewhere than as its whole leftmost label");
  if (!/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label)) {
    throw refuse("a DNS name has a label that is not letters, digits and inner hyphens");
  }
}

/** An absolute URI in the characters of RFC 3986, kept as it is written (RFC 5280 section 4.2.1.6). */
export function checkUri(uri: string): string {
  if (uri.length > uriBytesMax) throw refuse(`a URI is longer than ${uriBytesMax} characters`);
  if (!isPrintableAscii(uri))
    throw refuse("a URI has a character that is not printable ASCII", "Percent-encode it.");
  if (!/^[A-Za-z][A-Za-z0-9+.-]*:./.test(uri))
    throw refuse("a URI is not absolute", "Begin it with its scheme.");
  if (!/^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/.test(uri) || !URL.canParse(uri)) {
    throw refuse("a URI is not well-formed");
  }
  return uri;
}

/** `local@domain` in ASCII, the local part as atoms (RFC 5321 section 4.1.2), the domain in lower case. */
export function checkEmail(email: string): string {
  if (email.length > 254) throw refuse("an e-mail address is longer than 254 characters");
  const at = email.lastIndexOf("@");
  const local = email.slice(0, Math.max(at, 0));
  const atoms = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
  if (local.length > 64 || !atoms.test(local))
    throw refuse("an e-mail address is not written as local@domain");
  const domain = checkDnsName(email.slice(at + 1));
  if (domain.startsWith("*")) throw refuse("an e-mail address has a wildcard for its domain");
  return `${local}@${domain}`;
}

/** Text that may stand in a distinguished name: 1 to 64 characters, none of them a control character. */
export function checkNameText(text: string, attribute: string): string {
  if (text.length === 0) throw refuse(`${attribute} is empty`, "Leave it out instead.");
  if ([...text].length > nameAttributeCharactersMax) {
    throw refuse(`${attribute} is longer than ${nameAttributeCharactersMax} characters`);
  }
  // Cc: controls and NUL. Cf and the separators: marks that reorder or break the text for who reads it.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) || !text.isWellFormed()) {
    throw refuse(`${attribute} has a NUL, control or formatting character`);
  }
  return text;
}

export function isEmptyName(name: Name): boolean {
  return name.commonName === undefined && name.organization === undefined;
}

function isPrintableAscii(text: string): boolean {
  return /^[\x21-\x7e]*$/.test(text);
}

function refuse(message: string, hint?: string): DomainError {
  return new DomainError("invalid-argument", message, { hint });
}
