import { DomainError } from "@claviger/domain-error";

/** Identifier octets of the universal types that X.509 uses (X.690 section 8). */
export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

const lengthMax = 0x7fff_ffff;
const empty = new Uint8Array(0);

/**
 * One tag-length-value. Parts are laid end to end, so that a list of 10,000 entries is copied once
 * per level and never passed as arguments.
 */
export function tlv(tag: number, content: Uint8Array | readonly Uint8Array[]): Uint8Array {
  const parts = content instanceof Uint8Array ? [content] : content;
  let length = 0;
  for (const part of parts) length += part.length;
  if (length > lengthMax) throw new DomainError("invalid-argument", "a DER value is longer than 2 GiB");
  const lengthOctets =
    length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : length < 0x100_0000 ? 3 : 4;
  const out = new Uint8Array(2 + lengthOctets + length);
  out[0] = tag;
  out[1] = lengthOctets === 0 ? length : 0x80 | lengthOctets;
  let at = 2;
  for (let shift = (lengthOctets - 1) * 8; shift >= 0; shift -= 8) out[at++] = (length >>> shift) & 0xff;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function sequence(parts: readonly Uint8Array[]): Uint8Array {
  return tlv(derTags.sequence, parts);
}

/** SET OF: DER wants the members in ascending order of their encodings (X.690 section 11.6). */
export function set(parts: readonly Uint8Array[]): Uint8Array {
  return tlv(
    derTags.set,
    [...parts].sort((a, b) => Buffer.compare(a, b)),
  );
}

/** A non-negative INTEGER from big-endian bytes; leading zeros are dropped, a sign octet is added. */
export function integer(unsigned: Uint8Array): Uint8Array {
  let start = 0;
  while (start < unsigned.length - 1 && unsigned[start] === 0) start++;
  const magnitude = unsigned.subarray(start);
  if (magnitude.length === 0) return tlv(derTags.integer, Uint8Array.of(0));
  return tlv(derTags.integer, magnitude[0]! >= 0x80 ? [Uint8Array.of(0), magnitude] : magnitude);
}

/** A non-negative INTEGER from a whole number. */
export function integerFromNumber(value: number | bigint): Uint8Array {
  if (value < 0 || (typeof value === "number" && !Number.isSafeInteger(value))) {
    throw new DomainError("invalid-argument", "an INTEGER here must be a whole number of at least 0");
  }
  const hex = value.toString(16);
  return integer(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex"));
}

/** A dozen identifiers stand in every certificate; each is encoded once. */
const encodedOids = new Map<string, Uint8Array>();
const encodedOidsMax = 256;

export function oid(dotted: string): Uint8Array {
  const known = encodedOids.get(dotted);
  if (known !== undefined) return known;
  const encoded = encodeOid(dotted);
  if (encodedOids.size < encodedOidsMax) encodedOids.set(dotted, encoded);
  return encoded;
}

function encodeOid(dotted: string): Uint8Array {
  const arcs = dotted.split(".").map(Number);
  const [first, second] = arcs;
  const malformed = !/^[0-2](\.(0|[1-9]\d{0,14}))+$/.test(dotted);
  if (malformed || first === undefined || second === undefined || (first < 2 && second > 39)) {
    throw new DomainError(
      "invalid-argument",
      "an object identifier must be dotted numbers, such as 2.5.29.17",
    );
  }
  const octets: number[] = [];
  for (const arc of [first * 40 + second, ...arcs.slice(2)]) {
    const groups = [arc % 128];
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
      groups.unshift((rest % 128) | 0x80);
    }
    octets.push(...groups);
  }
  return tlv(derTags.oid, Uint8Array.from(octets));
}

export function octetString(bytes: Uint8Array): Uint8Array {
  return tlv(derTags.octetString, bytes);
}

export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return tlv(derTags.bitString, [Uint8Array.of(unusedBits), bytes]);
}

/** A BIT STRING of named bits: trailing zero bits are left out (X.690 section 11.2.2). */
export function namedBits(positions: Iterable<number>): Uint8Array {
  const chosen = [...positions];
  if (chosen.length === 0) return bitString(empty);
  const last = Math.max(...chosen);
  const bytes = new Uint8Array(Math.floor(last / 8) + 1);
  for (const position of chosen) bytes[position >> 3]! |= 0x80 >> (position & 7);
  return bitString(bytes, 7 - (last & 7));
}

export function utf8String(text: string): Uint8Array {
  return tlv(derTags.utf8String, Buffer.from(text.toWellFormed(), "utf8"));
}

export function printableString(text: string): Uint8Array {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)) {
    throw new DomainError("invalid-argument", "a PrintableString has a character outside its set", {
      hint: "Use utf8String for other text.",
    });
  }
  return tlv(derTags.printableString, Buffer.from(text, "latin1"));
}

export function ia5String(text: string): Uint8Array {
  return tlv(derTags.ia5String, asciiBytes(text));
}

/** The bytes of ASCII text; anything else is refused, because latin1 would fold it silently. */
export function asciiBytes(text: string): Uint8Array {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) {
      throw new DomainError("invalid-argument", "only ASCII characters are allowed here", {
        hint: "Write international domain names in their xn-- form.",
      });
    }
  }
  return Buffer.from(text, "latin1");
}

export function boolean(value: boolean): Uint8Array {
  return tlv(derTags.boolean, Uint8Array.of(value ? 0xff : 0x00));
}

export function derNull(): Uint8Array {
  return tlv(derTags.null, empty);
}

export function enumerated(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0x7f) {
    throw new DomainError("invalid-argument", "an ENUMERATED here must lie between 0 and 127");
  }
  return tlv(derTags.enumerated, Uint8Array.of(value));
}

/** YYYYMMDDHHMMSSZ; fractions of a second are cut off (RFC 5280 section 4.1.2.5.2). */
export function generalizedTime(date: Date): Uint8Array {
  return generalizedTimeOf(timeDigits(date));
}

/** YYMMDDHHMMSSZ, for 1950 through 2049 only (RFC 5280 section 4.1.2.5.1). */
export function utcTime(date: Date): Uint8Array {
  return utcTimeOf(timeDigits(date));
}

function generalizedTimeOf(digits: string): Uint8Array {
  return tlv(derTags.generalizedTime, Buffer.from(digits, "latin1"));
}

function utcTimeOf(digits: string): Uint8Array {
  if (digits < "1950" || digits >= "2050") {
    throw new DomainError("invalid-argument", "a UTCTime must lie between the years 1950 and 2049");
  }
  return tlv(derTags.utcTime, Buffer.from(digits.slice(2), "latin1"));
}

/** The form that RFC 5280 section 4.1.2.5 asks for: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(date: Date): Uint8Array {
  const digits = timeDigits(date);
  return digits < "2050" ? utcTimeOf(digits) : generalizedTimeOf(digits);
}

function timeDigits(date: Date): string {
  const milliseconds = date.getTime();
  if (Number.isNaN(milliseconds)) throw new DomainError("invalid-argument", "a date is not a valid time");
  const iso = date.toISOString();
  // Years outside 0 to 9999 get a sign and six digits, and have no form in X.509.
  if (iso.length !== 24) throw new DomainError("invalid-argument", "a date must lie before the year 10000");
  const day = iso.slice(0, 4) + iso.slice(5, 7) + iso.slice(8, 10);
  return `${day}${iso.slice(11, 13)}${iso.slice(14, 16)}${iso.slice(17, 19)}Z`;
}

/** `[n]` over something constructed: EXPLICIT tags, and IMPLICIT ones of SEQUENCE or SET. */
export function contextConstructed(number: number, parts: readonly Uint8Array[]): Uint8Array {
  return tlv(contextTag(number, true), parts);
}

/** `[n]` IMPLICIT over a primitive: the content octets alone. */
export function contextPrimitive(number: number, content: Uint8Array): Uint8Array {
  return tlv(contextTag(number, false), content);
}

/** The identifier octet of `[n]`, n from 0 to 30. */
export function contextTag(number: number, constructed: boolean): number {
  if (!Number.isInteger(number) || number < 0 || number > 30) {
    throw new DomainError("invalid-argument", "a context tag must lie between 0 and 30");
  }
  return 0x80 | (constructed ? 0x20 : 0) | number;
}
