import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import {
  type BackupEnd,
  type BackupHeader,
  type BackupManifest,
  ByteReader,
  openStream,
  readHeader,
  readParts,
  SectionCounter,
  type SectionHead,
} from "@claviger/backup";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { kwpUnwrap } from "../mechanisms/symmetric.ts";
import { backupMac } from "./backup-binding.ts";
import { type CeremonyTranscript, requireGenuine } from "./transcript.ts";

/** A backup whose every byte was found to be what was written, and whose token vouched for it. */
export interface OpenedBackup {
  manifest: BackupManifest;
  manifestSha256: string;
  /** As in the manifest, with their tables' columns. */
  sections: SectionHead[];
  /** What was attested of the manifest, and what the token made of it. */
  vouched: { record: Buffer; mac: Buffer };
}

/** The files that a backup's sections become. */
export function sectionFile(directory: string, name: string): string {
  return join(directory, `${name}.rows`);
}

/**
 * Opens a backup with the recovery key, writes its sections into `directory`, and checks all of it.
 * @throws DomainError `invalid-argument` where these are another key's shares, `integrity` where it is damaged
 */
export async function openBackup(
  source: AsyncIterable<Uint8Array>,
  recoveryKey: SecretBytes,
  directory: string,
): Promise<OpenedBackup> {
  const reader = new ByteReader(source);
  const { bytes, header } = await readHeader(reader);
  if (header.recoveryKey !== recoveryKeyId(recoveryKey)) {
    throw new DomainError(
      "invalid-argument",
      `these are shares of recovery key ${recoveryKeyId(recoveryKey)}, and the backup is under ${header.recoveryKey}`,
    );
  }
  using key = unwrapWith(recoveryKey, header.wrappedKey, "the backup's own key");
  const sections: SectionHead[] = [];
  const counters: SectionCounter[] = [];
  const files = new SectionFiles(directory);
  let end: BackupEnd | undefined;
  try {
    for await (const part of readParts(openStream(key.expose(), bytes, reader))) {
      if (part.kind === "section") {
        requireName(part.section);
        await files.begin(part.section.name);
        sections.push(part.section);
        counters.push(new SectionCounter(part.section.name));
      } else if (part.kind === "data") {
        await files.write(part.bytes);
        counters.at(-1)!.take(part.bytes);
      } else end = part.end;
    }
  } finally {
    await files.end();
  }
  if (end === undefined) throw new DomainError("integrity", "the backup has no end");
  const found = counters.map((counter) => counter.summary());
  const { manifest, manifestSha256, record } = requireWhole(header, end, found);
  return { manifest, manifestSha256, sections, vouched: { record, mac: Buffer.from(end.mac, "base64") } };
}

/** One file after another, for one section each. */
class SectionFiles {
  readonly #directory: string;
  #file: FileHandle | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async begin(name: string): Promise<void> {
    await this.end();
    this.#file = await open(sectionFile(this.#directory, name), "wx", 0o600);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#file === undefined) throw new DomainError("integrity", "the backup has rows of no section");
    await this.#file.writeFile(bytes);
  }

  async end(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

function requireName({ name }: SectionHead): void {
  if (typeof name !== "string" || !/^[a-z][a-z0-9_.-]{0,100}$/.test(name)) {
    throw new DomainError("integrity", "the backup has a section whose name is none");
  }
}

/** The end's manifest is of this backup, and of these sections; the record is of that manifest. */
function requireWhole(
  header: BackupHeader,
  end: BackupEnd,
  found: readonly object[],
): { record: Buffer; manifest: BackupManifest; manifestSha256: string } {
  const bytes = Buffer.from(end.manifest, "base64");
  const record = Buffer.from(end.record, "base64");
  const manifest = parse(bytes) as BackupManifest;
  const manifestSha256 = createHash("sha256").update(bytes).digest("hex");
  const said = parse(record) as Record<string, unknown>;
  const fits =
    manifest.v === 1 &&
    manifest.id === header.id &&
    manifest.trustDomain === header.trustDomain &&
    manifest.createdAt === header.createdAt &&
    JSON.stringify(manifest.sections) === JSON.stringify(found) &&
    said.kind === "backup" &&
    said.backup === header.id &&
    said.trustDomain === header.trustDomain &&
    said.recoveryKey === header.recoveryKey &&
    said.manifestSha256 === manifestSha256;
  if (!fits) throw new DomainError("integrity", "the backup's manifest is not of what it holds");
  return { record, manifest, manifestSha256 };
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString("utf8"));
  } catch (cause) {
    throw new DomainError("integrity", "the backup's manifest is malformed", { cause });
  }
}

export interface KeyringKeyWrap {
  id: string;
  recoveryWrap: Buffer;
}

/**
 * That the token of the backup's installation vouched for it, and that everything in it which a token needs opens.
 * @throws DomainError `integrity`
 */
export async function requireGenuineBackup(
  opened: OpenedBackup,
  recoveryKey: SecretBytes,
  { keyringKeys, transcript }: { keyringKeys: readonly KeyringKeyWrap[]; transcript: CeremonyTranscript },
): Promise<void> {
  const { mac: claimed, record } = opened.vouched;
  using binding = unwrapWith(recoveryKey, transcript.recoveryWraps["binding-mac"], "the binding key");
  const mac = (data: Uint8Array): Buffer => createHmac("sha256", binding.expose()).update(data).digest();
  await requireGenuine(transcript, mac);
  const expected = backupMac(record, mac);
  if (claimed.length !== expected.length || !timingSafeEqual(claimed, expected)) {
    throw new DomainError("integrity", "nobody's HSM vouched for this backup");
  }
  for (const { id, recoveryWrap } of keyringKeys) {
    using _ = unwrapWith(recoveryKey, recoveryWrap.toString("base64"), `keyring key ${id}`);
  }
}

/** @throws DomainError `integrity` */
export function unwrapWith(recoveryKey: SecretBytes, wrapped: string | undefined, what: string): SecretBytes {
  try {
    return kwpUnwrap(recoveryKey.expose(), Buffer.from(wrapped ?? "", "base64"));
  } catch (cause) {
    throw new DomainError("integrity", `${what} does not open with the recovery key: the backup is damaged`, {
      hint: "take another copy of it",
      cause,
    });
  }
}
