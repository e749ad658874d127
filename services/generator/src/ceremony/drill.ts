import { randomInt } from "node:crypto";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import { openPkcs11Hsm } from "../hsm/pkcs11-hsm.ts";
import type { Hsm } from "../hsm/port.ts";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { beginScratchToken, emptyToken, restoreToken } from "../hsm/token-restoration.ts";
import { type DrillReport, sealDrillReport } from "./drill-report.ts";
import { DrilledKeys } from "./drilled-keys.ts";
import { recoveryKeyOfShares } from "./given-shares.ts";
import { readOpenedCeremony, readOpenedFacts, readOpenedKeyringKeys } from "./restored-sections.ts";
import { handOverSealKeys } from "./seal-keys.ts";
import { endWithParent, refuse } from "./step.ts";
import { requireGenuine, requireTranscript } from "./transcript.ts";

/**
 * The generator's program that tries a backup, which `restore.ts` has opened into this directory: run by `claviger
 * backup drill` on the host beside the running installation, under the generator's own uid. Shares come as open files.
 *
 * `seal-keys` leaves the services' seal keys in `handoff/`: each service's own program checks its rows with it.
 * `prove` fills a token of its own, whose PIN is nowhere but here, uses keys in it, and leaves nothing in it. Rows come
 * on standard input, as the scratch database has them. The answer is a report, which the binding key vouches for.
 */
const settings = readSettings(process.env, (reader) => ({
  /** The scratch directory. */
  directory: reader.text("CLAVIGER_DIRECTORY"),
  /** Of the generator that runs: its transcript says whether the backup is of this installation. */
  runningDirectory: reader.text("CLAVIGER_RUNNING_DIRECTORY"),
  modulePath: reader.text("CLAVIGER_PKCS11_MODULE"),
  step: reader.choice("CLAVIGER_DRILL_STEP", ["seal-keys", "prove"]),
  shares: reader.integer("CLAVIGER_RESTORE_SHARES", { min: 1, max: 16 }),
  /** Of keys that are alike, so many are used. */
  usesPerGroup: reader.integer("CLAVIGER_DRILL_USES", { min: 1, max: 1_000_000_000, fallback: 3 }),
  /** JSON: what the report says besides. */
  about: reader.text("CLAVIGER_DRILL_ABOUT", "{}"),
}));
const tokenLabel = "claviger-drill";
const pinDigits = 24;
const opened = join(settings.directory, "restore");

type About = Pick<DrillReport, "drill" | "begunAt" | "rows" | "seals" | "failures">;

process.umask(0o077);
endWithParent();
try {
  using recoveryKey = await recoveryKeyOfShares(settings.shares);
  const answer = settings.step === "seal-keys" ? giveSealKeys(recoveryKey) : await prove(recoveryKey);
  process.stdout.write(JSON.stringify(answer));
} catch (error) {
  refuse(error);
}

function giveSealKeys(recoveryKey: SecretBytes): object {
  handOverSealKeys(settings.directory, recoveryKey, readOpenedCeremony(opened).recoveryWraps);
  return {};
}

async function prove(recoveryKey: SecretBytes): Promise<{ report: string; mac: string }> {
  const options = { modulePath: settings.modulePath, tokenLabel, pin: randomDigits() };
  progress("filling a token of the drill's own");
  beginScratchToken({ ...options, securityOfficerPin: randomDigits() });
  try {
    const transcript = readOpenedCeremony(opened);
    const keyringKeys = readOpenedKeyringKeys(opened);
    const bindingKeyWrap = Buffer.from(transcript.recoveryWraps["binding-mac"] ?? "", "base64");
    const token = await restoreToken(options, { recoveryKey, bindingKeyWrap, keyringKeys });
    token.close();
    await using hsm = openPkcs11Hsm({ ...options, serial: token.serial });
    await requireOurs(hsm);
    progress("using keys of each kind");
    const keys = new DrilledKeys(hsm, settings.usesPerGroup, progress);
    await keys.readAll(process.stdin);
    const { createdAt: madeAt, id: backup, manifestSha256 } = readOpenedFacts(opened);
    const { failures: elsewhere, ...about } = JSON.parse(settings.about) as About;
    const { failures, ...found } = keys.findings();
    const report: DrillReport = {
      v: 1,
      kind: "drill-report",
      ...about,
      backup,
      madeAt,
      manifestSha256,
      recoveryKey: recoveryKeyId(recoveryKey),
      keyringKeys: keyringKeys.length,
      ...found,
      failures: [...failures, ...elsewhere],
      module: hsm.describe(),
      endedAt: new Date().toISOString(),
    };
    const sealed = await sealDrillReport(report, (data) => hsm.bindingMac(data));
    return { report: sealed.report.toString("base64"), mac: sealed.mac.toString("base64") };
  } finally {
    emptyToken(options);
  }
}

/** The key that binds material stays for good: where the running one's transcript fits it, the backup is of this one. */
async function requireOurs(hsm: Hsm): Promise<void> {
  try {
    await requireGenuine(requireTranscript(settings.runningDirectory), (data) => hsm.bindingMac(data));
  } catch (cause) {
    throw new DomainError("failed-precondition", "the backup is of another installation than this one", {
      hint: "try it where it was made; or put it here for good: claviger backup restore",
      cause,
    });
  }
}

function progress(message: string): void {
  process.stderr.write(`progress: ${message}\n`);
}

function randomDigits(): string {
  return Array.from({ length: pinDigits }, () => randomInt(10)).join("");
}
