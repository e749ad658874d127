import { createHmac, hkdfSync, randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { nonceBytes, openXaes, sealXaes } from "./xaes.ts";

const formatVersion = 1;
const keyBytes = 32;
const digestBytes = 16;
const domain = "claviger/column/v1";

/** Where a value stands: the table and column, and the row's primary key; a ciphertext opens nowhere else. */
export interface ColumnPlace {
  /** `table.column` */
  column: string;
  /** Empty for values that are looked up, whichever row they are in. */
  row: string;
}

export interface ColumnCipher {
  /** Each time another ciphertext. */
  conceal(place: ColumnPlace, text: string): Buffer;
  concealBytes(place: ColumnPlace, bytes: Uint8Array): Buffer;
  /** The same for the same value of the same column: it can be looked up, and be unique. */
  concealExact(column: string, text: string): Buffer;
  /** @throws DomainError `integrity`, naming the place, where it was not concealed so */
  reveal(place: ColumnPlace, concealed: Uint8Array): string;
  revealBytes(place: ColumnPlace, concealed: Uint8Array): Buffer;
  revealExact(column: string, concealed: Uint8Array): string;
  /** To search by: it tells which values are the same, and does not lead back to them. */
  digest(column: string, text: string): Buffer;
}

/** Encryption and search of columns, under keys that HKDF (RFC 5869) makes of the service's seal key. */
export function createColumnCipher(sealKey: Uint8Array): ColumnCipher {
  const [encryptionKey, nonceKey, searchKey] = ["encryption", "exact-nonce", "search"].map((use) =>
    Buffer.from(hkdfSync("sha256", sealKey, Buffer.alloc(0), `claviger/column-${use}/v1`, keyBytes)),
  ) as [Buffer, Buffer, Buffer];
  const mac = (key: Buffer, parts: readonly string[]): Buffer =>
    createHmac("sha256", key).update(encodeParts(parts)).digest();
  const seal = (place: ColumnPlace, nonce: Buffer, bytes: Uint8Array): Buffer =>
    Buffer.concat([Buffer.of(formatVersion), nonce, sealXaes(encryptionKey, nonce, bytes, boundTo(place))]);
  const conceal = (place: ColumnPlace, bytes: Uint8Array): Buffer =>
    seal(place, randomBytes(nonceBytes), bytes);
  const reveal = (place: ColumnPlace, concealed: Uint8Array): Buffer => {
    const known = concealed[0] === formatVersion && concealed.length > nonceBytes;
    const nonce = concealed.subarray(1, 1 + nonceBytes);
    const opened = known
      ? openXaes(encryptionKey, nonce, concealed.subarray(1 + nonceBytes), boundTo(place))
      : undefined;
    if (opened !== undefined) return opened;
    const row = place.row === "" ? "" : ` of ${place.row}`;
    throw new DomainError("integrity", `${place.column}${row} was changed outside Claviger`, {
      hint: "treat the database as tampered with: `claviger audit search` shows what was really done to it",
    });
  };
  return {
    conceal: (place, text) => conceal(place, Buffer.from(text, "utf8")),
    concealBytes: conceal,
    concealExact(column, text) {
      // The nonce is a function of what it is for (as in RFC 5297): the same one serves the same value alone.
      const nonce = mac(nonceKey, [column, text]).subarray(0, nonceBytes);
      return seal({ column, row: "" }, nonce, Buffer.from(text, "utf8"));
    },
    reveal: (place, concealed) => reveal(place, concealed).toString("utf8"),
    revealBytes: reveal,
    revealExact: (column, concealed) => reveal({ column, row: "" }, concealed).toString("utf8"),
    digest: (column, text) => mac(searchKey, [column, text]).subarray(0, digestBytes),
  };
}

function boundTo({ column, row }: ColumnPlace): Buffer {
  return encodeParts([domain, column, row]);
}

/** Each part with its length before it, so that none slides into the next. */
function encodeParts(parts: readonly string[]): Buffer {
  const encoded = parts.map((part) => {
    const bytes = Buffer.from(part, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  });
  return Buffer.concat(encoded);
}
