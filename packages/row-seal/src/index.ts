import { createHmac, createSecretKey, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { DomainError } from "@claviger/domain-error";

/** A column's value as it is sealed. `null` is not the empty string. */
export type SealedValue = string | number | bigint | boolean | Date | Uint8Array | null;

const sealVersion = 1;
const sealKeyBytes = 32;
const domain = "claviger/row-seal/v1";

export interface RowSealer {
  /** The seal of a row: version, then HMAC-SHA-256 over table, primary key and fields. */
  seal(table: string, row: Readonly<Record<string, SealedValue>>): Buffer;
  /** @throws DomainError `integrity`, naming the row, where the seal does not fit. */
  check(table: string, rowName: string, row: Readonly<Record<string, SealedValue>>, seal: Uint8Array): void;
}

/** The seal key, which must be nobody else's to read. */
export function readSealKey(path: string): Buffer {
  const stats = statSync(path);
  if ((stats.mode & 0o077) !== 0) {
    throw new DomainError("failed-precondition", `${path} can be read by others`, {
      hint: `chmod 600 ${path}`,
    });
  }
  const key = readFileSync(path);
  if (key.length !== sealKeyBytes) {
    throw new DomainError("failed-precondition", `${path} must hold ${sealKeyBytes} bytes`);
  }
  return key;
}

export function rowSealerFromFile(path: string): RowSealer {
  return createRowSealer(readSealKey(path));
}

export function createRowSealer(keyBytes: Uint8Array): RowSealer {
  const key = createSecretKey(keyBytes);
  const mac = (table: string, row: Readonly<Record<string, SealedValue>>): Buffer => {
    const hmac = createHmac("sha256", key);
    for (const part of encodeRow(table, row)) hmac.update(part);
    return Buffer.concat([Buffer.of(sealVersion), hmac.digest()]);
  };
  return {
    seal: mac,
    check(table, rowName, row, seal) {
      const expected = mac(table, row);
      if (seal.length !== expected.length || !timingSafeEqual(expected, seal)) {
        throw new DomainError("integrity", `the row of ${rowName} in ${table} was changed outside Claviger`, {
          hint: "treat the database as tampered with: `claviger audit search` shows what was really done to it",
        });
      }
    },
  };
}

/** Field names are sealed too, in sorted order, so that values cannot change places. */
export function encodeRow(table: string, row: Readonly<Record<string, SealedValue>>): Buffer[] {
  const names = Object.keys(row).sort();
  const parts = [lengthPrefixed(Buffer.from(domain)), lengthPrefixed(Buffer.from(table))];
  for (const name of names) {
    parts.push(lengthPrefixed(Buffer.from(name)), encodeValue(row[name] ?? null));
  }
  return parts;
}

function encodeValue(value: SealedValue): Buffer {
  if (value === null) return Buffer.of(0);
  if (value instanceof Uint8Array) return Buffer.concat([Buffer.of(2), lengthPrefixed(value)]);
  const text = value instanceof Date ? value.toISOString() : String(value);
  return Buffer.concat([Buffer.of(1), lengthPrefixed(Buffer.from(text, "utf8"))]);
}

function lengthPrefixed(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
