import { createReadStream, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import type { SecretBytes } from "@claviger/secret-bytes";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { restoreToken } from "../hsm/token-restoration.ts";
import { checkEndings } from "./checked-endings.ts";
import { recoveryKeyOfShares } from "./given-shares.ts";
import { openBackup, requireGenuineBackup } from "./opened-backup.ts";
import {
  openedFactsFile,
  readOpenedCeremony,
  readOpenedFacts,
  readOpenedKeyringKeys,
} from "./restored-sections.ts";
import { handOverSealKeys } from "./seal-keys.ts";
import { refuse } from "./step.ts";
import {
  acceptToken,
  bindTranscript,
  type CeremonyTranscript,
  rightToken,
  type UnboundTranscript,
  writeTranscript,
} from "./transcript.ts";

/**
 * The generator's program that restores: run by `claviger backup restore` on the host, under the generator's own
 * uid. The custodians' shares come as open files after the third, so that no other process reads them, and the
 * recovery key is in this memory alone.
 *
 * `open` reads a backup from standard input, checks all of it and writes what it holds into `restore/`; nothing
 * else has changed then. `token` puts what the token needs into it, and leaves the services' seal keys in `handoff/`.
 */
const settings = readSettings(process.env, (reader) => ({
  directory: reader.text("CLAVIGER_DIRECTORY"),
  modulePath: reader.text("CLAVIGER_PKCS11_MODULE"),
  tokenLabel: reader.text("CLAVIGER_PKCS11_TOKEN_LABEL", "claviger"),
  step: reader.choice("CLAVIGER_RESTORE_STEP", ["open", "token"]),
  shares: reader.integer("CLAVIGER_RESTORE_SHARES", { min: 1, max: 16 }),
  /** Files of what was ended since, open after the shares. */
  endings: reader.integer("CLAVIGER_RESTORE_ENDINGS", { min: 0, max: 8, fallback: 0 }),
}));
const restored = join(settings.directory, "restore");

process.umask(0o077);
try {
  using recoveryKey = await recoveryKeyOfShares(settings.shares);
  if (settings.step === "open") await open(recoveryKey);
  else await fillToken(recoveryKey);
} catch (error) {
  if (settings.step === "open") rmSync(restored, { recursive: true, force: true });
  refuse(error);
}

async function open(recoveryKey: SecretBytes): Promise<void> {
  rmSync(restored, { recursive: true, force: true });
  mkdirSync(restored, { mode: 0o700 });
  const source = createReadStream("", { fd: 0, highWaterMark: 1024 * 1024 });
  const opened = await openBackup(source, recoveryKey, restored);
  const transcript = readOpenedCeremony(restored);
  await requireGenuineBackup(opened, recoveryKey, {
    transcript,
    keyringKeys: readOpenedKeyringKeys(restored),
  });
  const { id, createdAt } = opened.manifest;
  const facts = { id, createdAt, manifestSha256: opened.manifestSha256 };
  writeFileSync(openedFactsFile(restored), JSON.stringify(facts), { mode: 0o600 });
  const endings = [];
  for (let at = 0; at < settings.endings; at += 1) {
    const source = createReadStream("", { fd: 3 + settings.shares + at });
    endings.push(await checkEndings(source, recoveryKey, transcript.recoveryWraps["seal-storage"]));
  }
  const answer = {
    ...opened.manifest,
    tables: opened.sections,
    recoveryKey: recoveryKeyId(recoveryKey),
    endings,
  };
  process.stdout.write(JSON.stringify(answer));
}

async function fillToken(recoveryKey: SecretBytes): Promise<void> {
  const transcript = readOpenedCeremony(restored);
  const pin = readFileSync(join(settings.directory, "hsm.pin"), "utf8").trim();
  const token = await restoreToken(
    { ...settings, pin },
    {
      recoveryKey,
      bindingKeyWrap: Buffer.from(transcript.recoveryWraps["binding-mac"]!, "base64"),
      keyringKeys: readOpenedKeyringKeys(restored),
    },
  );
  try {
    handOverSealKeys(settings.directory, recoveryKey, transcript.recoveryWraps);
    const bound = await bindTranscript(asRestored(transcript, token.serial), (data) =>
      token.bindingMac(data),
    );
    writeTranscript(settings.directory, bound);
    process.stdout.write(JSON.stringify({ serial: token.serial }));
  } finally {
    token.close();
  }
}

function asRestored(transcript: CeremonyTranscript, serial: string): UnboundTranscript {
  const { createdAt, id } = readOpenedFacts(restored);
  const now = new Date();
  const restore = { backup: id, madeAt: createdAt, restoredAt: now.toISOString(), serial };
  const accepted = rightToken(transcript) === serial ? transcript : acceptToken(transcript, serial, now);
  return { ...accepted, restores: [...(transcript.restores ?? []), restore] };
}
