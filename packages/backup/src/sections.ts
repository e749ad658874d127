import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { ByteReader } from "./byte-reader.ts";

/** What a backup says of one of its sections. */
export interface SectionSummary {
  name: string;
  rows: number;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
}

/** What is inside of a backup: sections one after another, each begun by its name, and the end. */
export type Part =
  | { kind: "section"; section: SectionHead }
  | { kind: "data"; bytes: Buffer }
  | { kind: "end"; end: BackupEnd };

export interface SectionHead {
  name: string;
  /** Of a table, in the order of its rows' fields. */
  columns?: string[];
}

/** Says that the backup is whole, and who vouches for that. */
export interface BackupEnd {
  /** The manifest's bytes, base64. */
  manifest: string;
  /** What was attested of the manifest, base64: canonical JSON. */
  record: string;
  /** Of the record, by the key that binds material in the token: base64. */
  mac: string;
  /** Of the record, by `system/attestation`: base64. */
  signature: string;
  signerVersion: number;
}

export interface BackupManifest {
  v: 1;
  id: string;
  trustDomain: string;
  createdAt: string;
  /** By service, the migrations that its tables had. */
  migrations: Record<string, { name: string; sha256: string }[]>;
  sections: SectionSummary[];
}

const kinds = ["section", "data", "end"] as const;
const headBytes = 5;
const partBytesMax = 8 * 1024 * 1024;
const dataBytesMax = 1024 * 1024;

export function encodeParts(kind: (typeof kinds)[number], content: Uint8Array | object): Buffer[] {
  const bytes =
    content instanceof Uint8Array
      ? Buffer.from(content.buffer, content.byteOffset, content.byteLength)
      : Buffer.from(JSON.stringify(content), "utf8");
  const parts: Buffer[] = [];
  const most = kind === "data" ? dataBytesMax : partBytesMax;
  for (let at = 0; at === 0 || at < bytes.length; at += most) {
    const piece = bytes.subarray(at, at + most);
    const head = Buffer.alloc(headBytes);
    head.writeUInt8(kinds.indexOf(kind) + 1);
    head.writeUInt32BE(piece.length, 1);
    parts.push(head, piece);
  }
  return parts;
}

/** @throws DomainError `integrity` where it is not what `encodeParts` made, or has no end */
export async function* readParts(opened: AsyncIterable<Uint8Array>): AsyncGenerator<Part> {
  const reader = new ByteReader(opened);
  for (;;) {
    const head = await reader.read(headBytes);
    const kind = kinds[(head[0] ?? 0) - 1];
    const length = head.length === headBytes ? head.readUInt32BE(1) : Number.NaN;
    if (kind === undefined || !(length <= partBytesMax)) throw malformed();
    const bytes = await reader.read(length);
    if (bytes.length !== length) throw malformed();
    if (kind === "data") yield { kind, bytes };
    else if (kind === "section") yield { kind, section: parse(bytes) as SectionHead };
    else {
      if (!(await reader.ended())) throw malformed();
      yield { kind, end: parse(bytes) as BackupEnd };
      return;
    }
  }
}

const lineBreak = 0x0a;

/** Counts and hashes a section as it passes by. */
export class SectionCounter {
  readonly #name: string;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #rows = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** Rows are lines here: PostgreSQL's text format, and JSON by the line, write a line break no other way. */
  take(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    for (let at = bytes.indexOf(lineBreak); at !== -1; at = bytes.indexOf(lineBreak, at + 1)) this.#rows += 1;
  }

  get rows(): number {
    return this.#rows;
  }

  summary(): SectionSummary {
    return { name: this.#name, rows: this.#rows, bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw malformed(cause);
  }
}

function malformed(cause?: unknown): DomainError {
  return new DomainError("integrity", "what is inside of the backup is malformed", { cause });
}
