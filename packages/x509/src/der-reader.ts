import { DomainError } from "@claviger/domain-error";
import { derTags } from "./der.ts";

/** Deep enough for any certificate, shallow enough that recursion cannot exhaust the stack. */
export const derDepthMax = 32;
const oidBytesMax = 64;

/** One value: views into the bytes that were read, never copies, so that a slice is what was signed. */
export interface DerValue {
  /** The identifier octet. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Header and content. */
  readonly encoded: Uint8Array;
}

export interface DerReader {
  /** The next value, which must have this tag. */
  next(tag: number, name: string): DerValue;
  /** The next value, whatever it is. */
  any(name: string): DerValue;
  /** The next value if it has this tag. */
  optional(tag: number): DerValue | undefined;
  atEnd(): boolean;
  /** Refuses bytes that are left over. */
  end(): void;
}

/** Reads the values that lie end to end in `bytes`; `what` names the whole in errors. */
export function createDerReader(bytes: Uint8Array, what: string): DerReader {
  let at = 0;
  const any = (name: string): DerValue => {
    if (at >= bytes.length) throw malformed(what, `${name} is missing`);
    const value = readAt(bytes, at, what);
    at += value.encoded.length;
    return value;
  };
  return {
    any,
    next(tag, name) {
      if (at < bytes.length && bytes[at] !== tag) throw malformed(what, `${name} has the wrong type`);
      return any(name);
    },
    optional: (tag) => (at < bytes.length && bytes[at] === tag ? any("an optional value") : undefined),
    atEnd: () => at >= bytes.length,
    end() {
      if (at < bytes.length) throw malformed(what, "bytes are left over at its end");
    },
  };
}

/** Exactly one value, with nothing after it. */
export function readDer(bytes: Uint8Array, what: string, tag?: number): DerValue {
  const reader = createDerReader(bytes, what);
  const value = tag === undefined ? reader.any("the value") : reader.next(tag, "the value");
  reader.end();
  return value;
}

/** The values inside a constructed one. */
export function readDerChildren(value: DerValue, what: string): DerValue[] {
  const reader = createDerReader(value.content, what);
  const children: DerValue[] = [];
  while (!reader.atEnd()) children.push(reader.any("a member"));
  return children;
}

/**
 * Refuses bytes that are not DER all the way down. Libraries accept BER and read it each in their
 * own way; what has passed here has one reading only. The content of OCTET STRINGs, and of context
 * tags that are primitive, is opaque to it.
 */
export function checkDer(bytes: Uint8Array, what: string): void {
  checkValue(readDer(bytes, what), what, 0);
}

function checkValue(value: DerValue, what: string, depth: number): void {
  if (depth > derDepthMax) throw malformed(what, `it is nested deeper than ${derDepthMax} levels`);
  if ((value.tag & 0x20) !== 0) {
    for (const child of readDerChildren(value, what)) checkValue(child, what, depth + 1);
  } else if (value.tag === derTags.boolean) {
    derToBoolean(value, what);
  } else if (value.tag === derTags.integer || value.tag === derTags.enumerated) {
    checkIntegerContent(value.content, what);
  } else if (value.tag === derTags.bitString) {
    derToBits(value, what);
  } else if (value.tag === derTags.oid) {
    derToOid(value, what);
  } else if (value.tag === derTags.null && value.content.length !== 0) {
    throw malformed(what, "a NULL has content");
  }
}

function readAt(bytes: Uint8Array, start: number, what: string): DerValue {
  const tag = bytes[start]!;
  checkTag(tag, what);
  const first = bytes[start + 1];
  if (first === undefined) throw malformed(what, "it ends in the middle of a length");
  let length = first;
  let contentStart = start + 2;
  if (first >= 0x80) {
    const octets = first & 0x7f;
    if (octets === 0) throw malformed(what, "an indefinite length is not DER");
    if (octets > 4) throw malformed(what, "a length has more than four octets");
    contentStart += octets;
    if (contentStart > bytes.length) throw malformed(what, "it ends in the middle of a length");
    length = 0;
    for (let at = start + 2; at < contentStart; at++) length = length * 256 + bytes[at]!;
    // X.690 section 10.1: the fewest octets that hold the length.
    if (length < 0x80 || length < 256 ** (octets - 1))
      throw malformed(what, "a length is not in its shortest form");
  }
  const end = contentStart + length;
  if (end > bytes.length) throw malformed(what, "a value reaches past the end");
  return { tag, content: bytes.subarray(contentStart, end), encoded: bytes.subarray(start, end) };
}

/** In DER only SEQUENCE and SET are constructed among the universal types that X.509 uses. */
function checkTag(tag: number, what: string): void {
  if ((tag & 0x1f) === 0x1f) throw malformed(what, "a tag number above 30 has no place here");
  if (tag === 0) throw malformed(what, "an end-of-contents marker is not DER");
  const isUniversal = (tag & 0xc0) === 0;
  const isConstructed = (tag & 0x20) !== 0;
  const mustBeConstructed = (tag & 0x1f) === 0x10 || (tag & 0x1f) === 0x11;
  if (isUniversal && isConstructed !== mustBeConstructed) {
    throw malformed(what, "a universal type is constructed where DER wants it primitive, or the reverse");
  }
}

function checkIntegerContent(content: Uint8Array, what: string): void {
  const [first, second] = content;
  if (first === undefined) throw malformed(what, "an INTEGER is empty");
  if (second === undefined) return;
  if ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80)) {
    throw malformed(what, "an INTEGER is not in its shortest form");
  }
}

export function derToBoolean(value: DerValue, what: string): boolean {
  const octet = value.content[0];
  if (value.content.length !== 1 || (octet !== 0x00 && octet !== 0xff)) {
    throw malformed(what, "a BOOLEAN is neither 00 nor FF");
  }
  return octet === 0xff;
}

/** The magnitude of a non-negative INTEGER, without its sign octet. */
export function derToUnsigned(value: DerValue, what: string): Uint8Array {
  checkIntegerContent(value.content, what);
  if (value.content[0]! >= 0x80) throw malformed(what, "an INTEGER is negative");
  return value.content[0] === 0 ? value.content.subarray(1) : value.content;
}

/** A non-negative INTEGER of at most six octets, as a number. */
export function derToNumber(value: DerValue, what: string): number {
  const magnitude = derToUnsigned(value, what);
  if (magnitude.length > 6) throw malformed(what, "an INTEGER is too large");
  return magnitude.reduce((total, octet) => total * 256 + octet, 0);
}

/** The bytes of a BIT STRING and how many bits of the last one do not count. */
export function derToBits(value: DerValue, what: string): { bytes: Uint8Array; unusedBits: number } {
  const unusedBits = value.content[0];
  const bytes = value.content.subarray(1);
  const isMalformed = unusedBits === undefined || unusedBits > 7 || (bytes.length === 0 && unusedBits !== 0);
  if (isMalformed) throw malformed(what, "a BIT STRING says wrongly how many bits are unused");
  // X.690 section 11.2.1: unused bits are zero.
  if (bytes.length > 0 && (bytes.at(-1)! & ((1 << unusedBits) - 1)) !== 0) {
    throw malformed(what, "a BIT STRING has unused bits that are set");
  }
  return { bytes, unusedBits };
}

export function derToOid(value: DerValue, what: string): string {
  const { content } = value;
  if (content.length === 0 || content.length > oidBytesMax || content.at(-1)! >= 0x80) {
    throw malformed(what, "an object identifier is malformed");
  }
  const arcs: bigint[] = [];
  let arc = 0n;
  let isStart = true;
  for (const octet of content) {
    if (isStart && octet === 0x80) throw malformed(what, "an object identifier has a padded arc");
    arc = arc * 128n + BigInt(octet & 0x7f);
    isStart = octet < 0x80;
    if (!isStart) continue;
    arcs.push(arc);
    arc = 0n;
  }
  const head = arcs[0]!;
  const first = head < 80n ? head / 40n : 2n;
  return [first, head - first * 40n, ...arcs.slice(1)].join(".");
}

/** A UTCTime or GeneralizedTime in the one form each that RFC 5280 section 4.1.2.5 leaves. */
export function derToTime(value: DerValue, what: string): Date {
  const text = Buffer.from(value.content).toString("latin1");
  const isUtc = value.tag === derTags.utcTime;
  if (!isUtc && value.tag !== derTags.generalizedTime) throw malformed(what, "a time has the wrong type");
  if (!(isUtc ? /^\d{12}Z$/ : /^\d{14}Z$/).test(text)) {
    throw malformed(what, "a time is not written in seconds of UTC");
  }
  const digits = isUtc ? `${text < "50" ? "20" : "19"}${text}` : text;
  const iso = digits.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const date = new Date(iso);
  // Date rolls 31 February over into March; a time that does not print as it was read is none.
  if (Number.isNaN(date.getTime()) || date.toISOString() !== iso)
    throw malformed(what, "a time does not exist");
  return date;
}

function malformed(what: string, problem: string): DomainError {
  return new DomainError("invalid-argument", `${what} is malformed: ${problem}`, {
    hint: "Send the unchanged DER, or its PEM, as the tool that made it wrote it.",
  });
}
