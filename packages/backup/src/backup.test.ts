import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import {
  type BackupHeader,
  ByteReader,
  encodeHeader,
  encodeParts,
  openStream,
  readHeader,
  readParts,
  SectionCounter,
  sealStream,
} from "./index.ts";

const header: BackupHeader = {
  v: 1,
  id: "b",
  trustDomain: "claviger.test",
  createdAt: "2026-01-01T00:00:00.000Z",
  recoveryKey: "0011223344556677",
  wrappedKey: "AAAA",
};
const key = Buffer.alloc(32, 7);

async function* pieces(bytes: Buffer, size = 10_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

const seal = (plaintext: Buffer): Promise<Buffer> =>
  all(sealStream(key, encodeHeader(header), pieces(plaintext)));

async function open(sealed: Buffer, with_ = key): Promise<Buffer> {
  const reader = new ByteReader(pieces(sealed, 777));
  const { bytes } = await readHeader(reader);
  return all(openStream(with_, bytes, reader));
}

test.each([0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])(
  "%i bytes come back as they were",
  async (length) => {
    const plaintext = randomBytes(length);
    const sealed = await seal(plaintext);
    expect(sealed.length).toBe(
      encodeHeader(header).length + length + 16 * Math.max(1, Math.ceil(length / 65_536)),
    );
    expect(await open(sealed)).toEqual(plaintext);
    await expect(open(sealed, Buffer.alloc(32, 8))).rejects.toThrow("damaged");
  },
);

test("the vector of docs/formats.md", async () => {
  const sealed = await seal(Buffer.from("rows"));
  expect(createHash("sha256").update(sealed).digest("hex")).toMatchInlineSnapshot(
    `"2d3b567de8f8209b2a49f495d6b2ddd1e75a9a60b1cd9b3ee0453c4bb684e988"`,
  );
});

test("no bit of a backup can be changed, and nothing cut off, added or moved", async () => {
  const sealed = await seal(randomBytes(140_000));
  const start = encodeHeader(header).length;
  const chunk = 65_536 + 16;
  const changed = (at: number): Buffer => {
    const copy = Buffer.from(sealed);
    copy[at]! ^= 1;
    return copy;
  };
  const places = [0, 4, 6, 9, 20, start - 1, start, start + chunk, start + chunk - 1, sealed.length - 1];
  for (const at of places) await expect(open(changed(at)), `byte ${at}`).rejects.toThrow();
  const [one, two] = [
    sealed.subarray(start, start + chunk),
    sealed.subarray(start + chunk, start + 2 * chunk),
  ];
  for (const other of [
    sealed.subarray(0, -1),
    sealed.subarray(0, start + 2 * chunk),
    sealed.subarray(0, start),
    Buffer.concat([sealed, Buffer.of(0)]),
    Buffer.concat([sealed.subarray(0, start), two, one, sealed.subarray(start + 2 * chunk)]),
    Buffer.concat([sealed.subarray(0, start), one, one, sealed.subarray(start + 2 * chunk)]),
  ]) {
    await expect(open(other)).rejects.toThrow();
  }
});

test("what is no backup is said to be none", async () => {
  await expect(open(Buffer.from("PK\x03\x04 something else"))).rejects.toThrow("no backup");
  await expect(open(Buffer.alloc(0))).rejects.toThrow("no backup");
  await expect(open(Buffer.from("CLVB\x02\0\0\0\0", "latin1"))).rejects.toThrow("format 2");
  await expect(open(Buffer.from("CLVB\x01\xff\xff\xff\xff", "latin1"))).rejects.toThrow("header is damaged");
});

test("sections come back with their rows, however large", async () => {
  const rows = Buffer.from("a\tb\n".repeat(600_000));
  const end = { manifest: "", record: "", mac: "", signature: "", signerVersion: 1 };
  const encoded = [
    ...encodeParts("section", { name: "t", columns: ["x", "y"] }),
    ...encodeParts("data", rows),
    ...encodeParts("end", end),
  ];
  const counter = new SectionCounter("t");
  const seen: unknown[] = [];
  for await (const part of readParts(pieces(Buffer.concat(encoded), 100_001))) {
    if (part.kind === "data") counter.take(part.bytes);
    else seen.push(part.kind === "section" ? part.section : part.end);
  }
  expect(seen).toEqual([{ name: "t", columns: ["x", "y"] }, end]);
  expect(counter.summary()).toEqual({
    name: "t",
    rows: 600_000,
    bytes: rows.length,
    sha256: createHash("sha256").update(rows).digest("hex"),
  });
  for (const broken of [encoded.slice(0, -2), [...encoded, Buffer.of(1)], [Buffer.of(9, 0, 0, 0, 0)]]) {
    await expect(all(ignored(readParts(pieces(Buffer.concat(broken)))))).rejects.toThrow("malformed");
  }
});

async function* ignored(parts: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
  for await (const _ of parts) yield Buffer.alloc(0);
}
