import { X509Certificate } from "node:crypto";

/** How strongly a connection's client authenticates, as the server sees it. */
export interface AuthenticationStrength {
  /** Of its certificate: `rsa`, `ec`, `ed25519`, `ml-dsa-65`, … */
  keyType: string;
  /** Of the modulus or the curve; zero where the type says it. */
  keyBits: number;
  /** Such as `ecdsa-with-SHA256`. */
  signatureAlgorithm: string;
  lifetimeHours: number;
  /** Such as `TLSv1.3`. */
  tlsVersion: string;
  /** Such as `X25519MLKEM768`; empty where it is not known. */
  keyExchange: string;
}

/** What of a TLS socket says it. */
export interface TlsSession {
  getProtocol(): string | null;
  getSession(): Buffer | undefined;
}

/** IANA's registry of TLS supported groups. */
const groupNames: ReadonlyMap<number, string> = new Map([
  [0x0017, "P-256"],
  [0x0018, "P-384"],
  [0x0019, "P-521"],
  [0x001d, "X25519"],
  [0x001e, "X448"],
  [0x0100, "ffdhe2048"],
  [0x0101, "ffdhe3072"],
  [0x0102, "ffdhe4096"],
  [0x0200, "MLKEM512"],
  [0x0201, "MLKEM768"],
  [0x0202, "MLKEM1024"],
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ec, "X25519MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
]);
const curveBits: Readonly<Record<string, number>> = { prime256v1: 256, secp384r1: 384, secp521r1: 521 };
const hourMilliseconds = 3_600_000;

/** Costs some 100 µs: once for a connection. */
export function readStrength(
  certificateDer: Uint8Array,
  session: TlsSession | undefined,
): AuthenticationStrength {
  const certificate = new X509Certificate(certificateDer);
  const { asymmetricKeyDetails = {}, asymmetricKeyType = "" } = certificate.publicKey;
  const lifetime = certificate.validToDate.getTime() - certificate.validFromDate.getTime();
  return {
    keyType: asymmetricKeyType,
    keyBits: asymmetricKeyDetails.modulusLength ?? curveBits[asymmetricKeyDetails.namedCurve ?? ""] ?? 0,
    signatureAlgorithm: certificate.signatureAlgorithm ?? "",
    lifetimeHours: Math.round(lifetime / hourMilliseconds),
    tlsVersion: session?.getProtocol() ?? "",
    keyExchange: session === undefined ? "" : keyExchangeOf(session),
  };
}

/**
 * Node tells the group to clients alone (`getEphemeralKeyInfo`). OpenSSL keeps it in the session, whose encoding
 * (SSL_SESSION_ASN1, `kex_group`, context tag 19) a server can read as well. The encoding holds the session's secret,
 * and is zeroed.
 */
function keyExchangeOf(session: TlsSession): string {
  const encoded = session.getSession();
  if (encoded === undefined) return "";
  try {
    const group = groupIn(encoded);
    if (group === undefined) return "";
    return groupNames.get(group) ?? `group-${group}`;
  } finally {
    encoded.fill(0);
  }
}

const sequenceTag = 0x30;
const kexGroupTag = 0xb3;
const integerTag = 0x02;

/** The INTEGER in `[19]` of the outer SEQUENCE; undefined where there is none. */
export function groupIn(encoded: Uint8Array): number | undefined {
  const outer = elementAt(encoded, 0);
  if (outer?.tag !== sequenceTag) return undefined;
  for (let at = outer.start; at < outer.end; ) {
    const element = elementAt(encoded, at);
    if (element === undefined || element.end > outer.end) return undefined;
    if (element.tag === kexGroupTag) {
      const integer = elementAt(encoded, element.start);
      if (integer?.tag !== integerTag || integer.end > element.end) return undefined;
      return encoded.subarray(integer.start, integer.end).reduce((value, byte) => value * 256 + byte, 0);
    }
    at = element.end;
  }
  return undefined;
}

/** One DER element with a tag of one byte. */
function elementAt(bytes: Uint8Array, at: number): { tag: number; start: number; end: number } | undefined {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined;
  if (first < 0x80) return bounded(bytes, tag, at + 2, first);
  const count = first & 0x7f;
  if (count === 0 || count > 3) return undefined;
  const length = bytes.subarray(at + 2, at + 2 + count).reduce((value, byte) => value * 256 + byte, 0);
  return bounded(bytes, tag, at + 2 + count, length);
}

function bounded(bytes: Uint8Array, tag: number, start: number, length: number) {
  const end = start + length;
  return end > bytes.length ? undefined : { tag, start, end };
}
