import { DomainError } from "@claviger/domain-error";

/** The self-describing ciphertext, version 1 (docs/formats.md). */
export interface CiphertextHeader {
  /** UUID. */
  keyId: string;
  version: number;
  nonce: Buffer;
}

const magic = Buffer.from("CLV\x01", "latin1");
const suiteAes256Gcm = 1;
const keyIdAt = 4;
const versionAt = 20;
const suiteAt = 24;
const nonceAt = 25;
export const nonceBytes = 12;
export const headerBytes = nonceAt + nonceBytes;
export const tagBytes = 16;

export function encodeHeader(keyIdBytes: Uint8Array, version: number, nonce: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header.set(magic, 0);
  header.set(keyIdBytes, keyIdAt);
  header.writeUInt32BE(version, versionAt);
  header.writeUInt8(suiteAes256Gcm, suiteAt);
  header.set(nonce, nonceAt);
  return header;
}

/** @throws DomainError `integrity` where this is not a ciphertext of Claviger's. */
export function parseCiphertext(bytes: Uint8Array): CiphertextHeader & { header: Buffer; sealed: Buffer } {
  const ciphertext = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (ciphertext.length < headerBytes + tagBytes) {
    throw new DomainError("integrity", "the ciphertext is too short to be one of Claviger's", {
      hint: "it may be cut off, or not have been made by `claviger encrypt`",
    });
  }
  if (!ciphertext.subarray(0, 4).equals(magic) || ciphertext[suiteAt] !== suiteAes256Gcm) {
    throw new DomainError("integrity", "this is not a ciphertext of Claviger's, or of a later version", {
      hint: "a ciphertext begins with the bytes 43 4c 56 01",
    });
  }
  const header = ciphertext.subarray(0, headerBytes);
  return {
    keyId: uuidText(header.subarray(keyIdAt, versionAt)),
    version: header.readUInt32BE(versionAt),
    nonce: header.subarray(nonceAt),
    header,
    sealed: ciphertext.subarray(headerBytes),
  };
}

export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
