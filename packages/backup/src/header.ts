import { DomainError } from "@claviger/domain-error";
import type { ByteReader } from "./byte-reader.ts";

/** What of a backup can be read without opening it. */
export interface BackupHeader {
  v: 1;
  id: string;
  trustDomain: string;
  /** RFC 3339. */
  createdAt: string;
  /** Names the recovery key: its custodians' shares open the backup. */
  recoveryKey: string;
  /** The backup's own key under the recovery key (RFC 5649), base64. */
  wrappedKey: string;
}

const magic = Buffer.from("CLVB\x01", "latin1");
const lengthBytes = 4;
const headerBytesMax = 64 * 1024;

export function encodeHeader(header: BackupHeader): Buffer {
  const { v, id, trustDomain, createdAt, recoveryKey, wrappedKey } = header;
  const json = Buffer.from(
    JSON.stringify({ v, id, trustDomain, createdAt, recoveryKey, wrappedKey }),
    "utf8",
  );
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(json.length);
  return Buffer.concat([magic, length, json]);
}

/** @throws DomainError `integrity` where it is no backup, or the header is damaged */
export async function readHeader(reader: ByteReader): Promise<{ header: BackupHeader; bytes: Buffer }> {
  const start = await reader.read(magic.length + lengthBytes);
  if (start.length < magic.length + lengthBytes || !start.subarray(0, 4).equals(magic.subarray(0, 4))) {
    throw new DomainError("integrity", "the file is no backup of Claviger's");
  }
  if (start[4] !== magic[4]) {
    throw new DomainError(
      "failed-precondition",
      `the backup has format ${start[4]}, and this version reads 1`,
    );
  }
  const length = start.readUInt32BE(magic.length);
  const json = length <= headerBytesMax ? await reader.read(length) : Buffer.alloc(0);
  const header = parseHeader(json);
  if (header === undefined || json.length !== length) {
    throw new DomainError("integrity", "the backup's header is damaged", { hint: "take another copy of it" });
  }
  return { header, bytes: Buffer.concat([start, json]) };
}

function parseHeader(json: Buffer): BackupHeader | undefined {
  try {
    const header = JSON.parse(json.toString("utf8")) as BackupHeader;
    const texts = [header.id, header.trustDomain, header.createdAt, header.recoveryKey, header.wrappedKey];
    return header.v === 1 && texts.every((text) => typeof text === "string") ? header : undefined;
  } catch {
    return undefined;
  }
}
