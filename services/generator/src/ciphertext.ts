import { DomainError } from "@claviger/domain-error";
import type { Scheme } from "./algorithms.ts";

/** How what follows the header was made; docs/formats.md has the table. */
export type Suite = "aes-256-gcm" | "aes-192-gcm" | "aes-128-gcm" | "rsa-oaep-sha256";

/** The self-describing ciphertext, version 1 (docs/formats.md). */
export interface CiphertextParts {
  /** UUID. */
  keyId: string;
  version: number;
  suite: Suite;
  /** Everything before what was sealed: bound by it. */
  header: Buffer;
  /** Empty for RSA-OAEP. */
  nonce: Buffer;
  sealed: Buffer;
}

const magic = Buffer.from("CLV\x01", "latin1");
const suiteCodes: Record<Suite, number> = {
  "aes-256-gcm": 1,
  "aes-192-gcm": 2,
  "aes-128-gcm": 3,
  "rsa-oaep-sha256": 4,
};
const suites = new Map(Object.entries(suiteCodes).map(([suite, code]) => [code, suite as Suite]));
const keyIdAt = 4;
const versionAt = 20;
const suiteAt = 24;
const nonceAt = 25;
export const nonceBytes = 12;
export const tagBytes = 16;
const sealedBytesMin = tagBytes;

export function suiteOf(scheme: Scheme): Suite {
  if (scheme.kind === "rsa-oaep") return "rsa-oaep-sha256";
  if (scheme.kind === "aes-gcm") return `aes-${(scheme.keyBytes * 8) as 128 | 192 | 256}-gcm`;
  throw new DomainError("internal", `${scheme.kind} does not encrypt`);
}

/** `nonce` is empty for RSA-OAEP. */
export function encodeHeader(
  keyIdBytes: Uint8Array,
  version: number,
  suite: Suite,
  nonce: Uint8Array,
): Buffer {
  const header = Buffer.allocUnsafe(nonceAt + nonce.length);
  header.set(magic, 0);
  header.set(keyIdBytes, keyIdAt);
  header.writeUInt32BE(version, versionAt);
  header.writeUInt8(suiteCodes[suite], suiteAt);
  header.set(nonce, nonceAt);
  return header;
}

/** The parts of one of Claviger's ciphertexts; undefined where this is something else. */
export function parseCiphertext(bytes: Uint8Array): CiphertextParts | undefined {
  const ciphertext = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (ciphertext.length < nonceAt + sealedBytesMin || !ciphertext.subarray(0, keyIdAt).equals(magic)) {
    return undefined;
  }
  const suite = suites.get(ciphertext[suiteAt]!);
  if (suite === undefined) return undefined;
  const headerBytes = suite === "rsa-oaep-sha256" ? nonceAt : nonceAt + nonceBytes;
  if (ciphertext.length < headerBytes + sealedBytesMin) return undefined;
  const header = ciphertext.subarray(0, headerBytes);
  return {
    keyId: uuidText(header.subarray(keyIdAt, versionAt)),
    version: header.readUInt32BE(versionAt),
    suite,
    header,
    nonce: header.subarray(nonceAt),
    sealed: ciphertext.subarray(headerBytes),
  };
}

/** What is told about bytes that are no ciphertext of Claviger's. */
export function notACiphertext(): DomainError {
  return new DomainError(
    "integrity",
    "this is not a ciphertext of Claviger's, or of a later version, or cut off",
    {
      hint: "a ciphertext begins with the bytes 43 4c 56 01",
    },
  );
}

export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
