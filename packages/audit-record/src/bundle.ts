import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { type AuditRecord, leafBytesMax, opensLeaf, saltBytes } from "./record.ts";

// Records travel in bundles, and are confirmed by the bundle (docs/formats.md, "Audit bundle").

const bundleDomain = "claviger/audit-bundle/v1";
const confirmDomain = "claviger/audit-confirm/v1";
const macBytes = 32;
const noMac = Buffer.alloc(macBytes);
const lengthBytes = 4;
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What one bundle may carry; the bus takes messages of 1 MiB. */
export const bundleRecordsMax = 128;
export const bundleBytesMax = 256 * 1024;
const personalBytesMax = leafBytesMax;

const idBytes = 16;

/**
 * What a bundle is known by: of one record the record's id, of several the beginning of the authenticator, since
 * the same first record may travel again in other company.
 */
export function bundleId(message: Uint8Array, records: number, firstId: string): string {
  return records === 1 ? firstId : Buffer.from(message.subarray(0, idBytes)).toString("hex");
}

/** How much of a bundle's bytes a record takes, at most. */
export function bytesInBundle({ leaf, personal }: AuditRecord): number {
  return 2 * lengthBytes + saltBytes + 3 * (leaf.length + personal.length);
}

/** Records one after the other, as they stand in a bundle, in memory that nothing else shares. */
export function encodeRecords(records: readonly AuditRecord[]): Buffer<ArrayBuffer> {
  const encoded = Buffer.allocUnsafeSlow(
    records.reduce(
      (sum, { leaf, personal }) =>
        sum + 2 * lengthBytes + saltBytes + Buffer.byteLength(leaf) + Buffer.byteLength(personal),
      0,
    ),
  );
  let at = 0;
  const put = (text: string): void => {
    const length = encoded.write(text, at + lengthBytes, "utf8");
    encoded.writeUInt32BE(length, at);
    at += lengthBytes + length;
  };
  for (const { leaf, personal, salt } of records) {
    put(leaf);
    put(personal);
    at += salt.copy(encoded, at);
  }
  return encoded;
}

/** Encoded records with their authenticator: whoever can write to the bus cannot make one. At least one record. */
export function sealEncoded(encoded: readonly Uint8Array[], service: string, key: Uint8Array): Buffer {
  const message = Buffer.concat([noMac, ...encoded]);
  mac(bundleDomain, service, message.subarray(macBytes), key).copy(message);
  return message;
}

export function sealBundle(records: readonly AuditRecord[], service: string, key: Uint8Array): Buffer {
  return sealEncoded([encodeRecords(records)], service, key);
}

/** @throws DomainError `integrity` where the authenticator does not fit or a record is malformed. */
export function openBundle(message: Uint8Array, service: string, key: Uint8Array): AuditRecord[] {
  const body = checkMac(bundleDomain, service, message, key);
  const records: AuditRecord[] = [];
  let at = 0;
  const take = (bytes: number): Buffer => {
    if (bytes > body.length - at) throw disagreement();
    at += bytes;
    return body.subarray(at - bytes, at);
  };
  const text = (bytesMax: number): string => {
    const length = take(lengthBytes).readUInt32BE();
    if (length > bytesMax) throw disagreement();
    return take(length).toString("utf8");
  };
  while (at < body.length) {
    if (records.length === bundleRecordsMax) throw disagreement();
    const leaf = text(3 * leafBytesMax);
    const personal = text(3 * personalBytesMax);
    records.push(checked({ id: "", leaf, personal, salt: Buffer.from(take(saltBytes)) }, service));
  }
  if (records.length === 0) throw disagreement();
  return records;
}

function checked(record: AuditRecord, service: string): AuditRecord {
  const { leaf, personal, salt } = record;
  const { id, service: writer, time } = JSON.parse(leaf) as Record<"id" | "service" | "time", string>;
  const wellFormed = uuidPattern.test(id) && !Number.isNaN(Date.parse(time));
  if (!wellFormed || writer !== service || leaf.length > leafBytesMax || !opensLeaf(leaf, personal, salt)) {
    throw disagreement();
  }
  return { ...record, id };
}

function disagreement(): DomainError {
  return new DomainError("integrity", "an audit record does not agree with itself");
}

/** The audit service's word that the records of these bundles are in the log, so that the writer may forget them. */
export function sealConfirmation(bundleIds: readonly string[], service: string, key: Uint8Array): Buffer {
  const body = Buffer.from(JSON.stringify(bundleIds), "utf8");
  return Buffer.concat([mac(confirmDomain, service, body, key), body]);
}

export function openConfirmation(message: Uint8Array, service: string, key: Uint8Array): string[] {
  return JSON.parse(checkMac(confirmDomain, service, message, key).toString("utf8")) as string[];
}

/** OpenSSL's own form of a key, made once: making it for each message costs more than the HMAC. */
const keyObjects = new WeakMap<Uint8Array, KeyObject>();

function keyObjectOf(key: Uint8Array): KeyObject {
  const known = keyObjects.get(key);
  if (known !== undefined) return known;
  const made = createSecretKey(key);
  keyObjects.set(key, made);
  return made;
}

function mac(domain: string, service: string, body: Uint8Array, key: Uint8Array): Buffer {
  return createHmac("sha256", keyObjectOf(key)).update(`${domain}\0${service}\0`).update(body).digest();
}

function checkMac(domain: string, service: string, message: Uint8Array, key: Uint8Array): Buffer {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const body = bytes.subarray(macBytes);
  const authentic =
    bytes.length >= macBytes && timingSafeEqual(bytes.subarray(0, macBytes), mac(domain, service, body, key));
  if (authentic) return body;
  throw new DomainError(
    "integrity",
    `a message that claims to be of ${service} does not carry its authenticator`,
  );
}
