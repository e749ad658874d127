import { createHash, createHmac, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BackupEnd,
  ByteReader,
  encodeHeader,
  encodeParts,
  openStream,
  readHeader,
  readParts,
  SectionCounter,
  sealStream,
} from "@claviger/backup";
import { SecretBytes } from "@claviger/secret-bytes";
import { afterAll, expect, test } from "vitest";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { kwpWrap } from "../mechanisms/symmetric.ts";
import { backupMac } from "./backup-binding.ts";
import { openBackup, requireGenuineBackup, sectionFile } from "./opened-backup.ts";
import { bindTranscript } from "./transcript.ts";

const root = mkdtempSync(join(tmpdir(), "claviger-opened-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const recoveryKey = SecretBytes.take(randomBytes(32));
const bindingKey = randomBytes(32);
const backupKey = randomBytes(32);
const wrap = (bytes: Uint8Array): string => kwpWrap(recoveryKey.expose(), bytes).toString("base64");
const mac = (data: Uint8Array): Buffer => createHmac("sha256", bindingKey).update(data).digest();
const id = "44444444-4444-4444-8444-444444444444";
const header = {
  v: 1,
  id,
  trustDomain: "claviger.test",
  createdAt: "2026-01-31T12:00:00.000Z",
  recoveryKey: recoveryKeyId(recoveryKey),
  wrappedKey: wrap(backupKey),
} as const;
const rows = Buffer.from("1\t0\n");
const transcript = await bindTranscript(
  {
    version: 1,
    heldAt: "2026-01-01T00:00:00.000Z",
    token: { label: "claviger", serial: "0001", model: "an HSM" },
    recoveryKey: header.recoveryKey,
    custody: { threshold: 2, shares: 3 },
    shareDigests: [],
    recoveryWraps: { "binding-mac": wrap(bindingKey) },
  },
  mac,
);

interface Forgery {
  header?: object;
  rows?: Buffer;
  manifest?: object;
  record?: object;
  name?: string;
  noEnd?: boolean;
}

/** A backup as whoever holds its key can make one; what only the HSM can make is as it was. */
async function backup(forgery: Forgery = {}): Promise<AsyncIterable<Buffer>> {
  const head = { ...header, ...forgery.header };
  const counter = new SectionCounter("storage.tree");
  counter.take(rows);
  const manifest = Buffer.from(
    JSON.stringify({
      v: 1,
      id,
      trustDomain: head.trustDomain,
      createdAt: head.createdAt,
      migrations: {},
      sections: [counter.summary()],
      ...forgery.manifest,
    }),
  );
  const record = Buffer.from(
    JSON.stringify({
      kind: "backup",
      backup: id,
      trustDomain: header.trustDomain,
      recoveryKey: header.recoveryKey,
      manifestSha256: createHash("sha256").update(manifest).digest("hex"),
      ...forgery.record,
    }),
  );
  const end: BackupEnd = {
    manifest: manifest.toString("base64"),
    record: record.toString("base64"),
    mac: (Object.keys(forgery).length === 0 ? backupMac(record, mac) : await genuineMac()).toString("base64"),
    signature: "",
    signerVersion: 1,
  };
  async function* parts(): AsyncGenerator<Buffer> {
    yield* encodeParts("section", { name: forgery.name ?? "storage.tree", columns: ["id", "size"] });
    yield* encodeParts("data", forgery.rows ?? rows);
    if (forgery.noEnd !== true) yield* encodeParts("end", end);
  }
  return sealStream(backupKey, encodeHeader(head as typeof header), parts());
}

/** What the HSM made of the record of the backup that it vouched for. */
async function genuineMac(): Promise<Buffer> {
  const reader = new ByteReader(await backup());
  const { bytes } = await readHeader(reader);
  for await (const part of readParts(openStream(backupKey, bytes, reader))) {
    if (part.kind === "end") return Buffer.from(part.end.mac, "base64");
  }
  throw new Error("no end");
}

let opened = 0;
async function open(forgery?: Forgery) {
  opened += 1;
  const directory = join(root, String(opened));
  mkdirSync(directory);
  const backupThere = await openBackup(await backup(forgery), recoveryKey, directory);
  await requireGenuineBackup(backupThere, recoveryKey, { transcript, keyringKeys: [] });
  return { directory, ...backupThere };
}

test("a backup opens into its sections", async () => {
  const { directory, manifest, sections } = await open();
  expect(sections).toEqual([{ name: "storage.tree", columns: ["id", "size"] }]);
  expect(manifest.sections).toMatchObject([{ name: "storage.tree", rows: 1, bytes: rows.length }]);
  expect(readFileSync(sectionFile(directory, "storage.tree"))).toEqual(rows);
});

test.each<[string, Forgery]>([
  ["other rows", { rows: Buffer.from("1\t9\n") }],
  ["more rows", { rows: Buffer.from("1\t0\n2\t0\n") }],
  ["a section of another name", { name: "storage.roles" }],
  ["a manifest that fits the other rows", { manifest: { migrations: { storage: [] } } }],
  ["a record of another backup", { record: { backup: "55555555-5555-4555-8555-555555555555" } }],
  ["a record of another kind", { record: { kind: "ceremony" } }],
  ["another trust domain", { header: { trustDomain: "evil.test" } }],
  ["another moment", { header: { createdAt: "2027-01-31T12:00:00.000Z" } }],
  ["a name that leads elsewhere", { name: "../../../generator/hsm" }],
  ["no end", { noEnd: true }],
])("who has a backup's key, and no HSM, cannot make one with %s", async (_, forgery) => {
  await expect(open(forgery)).rejects.toMatchObject({ kind: "integrity" });
});

test("what the token needs is tried before anything is changed", async () => {
  const there = await openBackup(await backup(), recoveryKey, mkdtempSync(join(root, "x")));
  const keyringKeys = [{ id: "k", recoveryWrap: Buffer.alloc(40) }];
  await expect(requireGenuineBackup(there, recoveryKey, { transcript, keyringKeys })).rejects.toThrow(
    "keyring key k",
  );
  const changed = { ...transcript, custody: { threshold: 1, shares: 3 } };
  await expect(
    requireGenuineBackup(there, recoveryKey, { transcript: changed, keyringKeys: [] }),
  ).rejects.toThrow("ceremony.json");
});

test("another recovery key's shares are told apart from damage", async () => {
  const another = SecretBytes.take(randomBytes(32));
  await expect(openBackup(await backup(), another, root)).rejects.toMatchObject({ kind: "invalid-argument" });
  await expect(open({ header: { wrappedKey: "AAAA" } })).rejects.toThrow("backup's own key");
});
