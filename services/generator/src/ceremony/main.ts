import { randomBytes, randomInt } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "@claviger/config";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { openPkcs11Hsm } from "../hsm/pkcs11-hsm.ts";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { beginToken } from "../hsm/token-ceremony.ts";
import { profiles, requireFit } from "../profile.ts";
import { checkCustody, shareDigest, shareProof, splitRecoveryKey } from "./shares.ts";
import {
  acceptToken,
  bindTranscript,
  type CeremonyTranscript,
  readTranscript,
  requireGenuine,
  writeTranscript,
} from "./transcript.ts";

/**
 * The generator's program in ceremony mode, run once on the host by `claviger init`. PINs, shares and
 * seal keys are made here and go into files; none of them enters another process.
 */
const settings = readSettings(process.env, (reader) => ({
  directory: reader.text("CLAVIGER_DIRECTORY"),
  recoveryDirectory: reader.text("CLAVIGER_RECOVERY_DIRECTORY"),
  modulePath: reader.text("CLAVIGER_PKCS11_MODULE"),
  tokenLabel: reader.text("CLAVIGER_PKCS11_TOKEN_LABEL", "claviger"),
  threshold: reader.integer("CLAVIGER_RECOVERY_THRESHOLD", { min: 2, max: 16, fallback: 2 }),
  shares: reader.integer("CLAVIGER_RECOVERY_SHARES", { min: 2, max: 16, fallback: 3 }),
  profile: reader.choice("CLAVIGER_PROFILE", profiles, "development"),
  /** The serial of a token that takes the place of the right one; `none` does unless said. */
  acceptToken: reader.text("CLAVIGER_ACCEPT_TOKEN", "none"),
}));

const custodyChosen =
  Boolean(process.env.CLAVIGER_RECOVERY_THRESHOLD) && Boolean(process.env.CLAVIGER_RECOVERY_SHARES);

/** Services whose rows are sealed; each gets its key through `handoff/`, which bootstrap moves. */
const sealedServices = ["storage", "distribution", "rotation"] as const;
const pinDigits = 24;

process.umask(0o077);
try {
  const held = readTranscript(settings.directory);
  if (held === undefined) {
    await holdCeremony();
    process.stdout.write("the ceremony is done\n");
  } else if (settings.acceptToken !== "none") {
    await accept(held, settings.acceptToken);
    process.stdout.write("the token is accepted\n");
  } else {
    process.stdout.write("the ceremony has been held already\n");
  }
} catch (error) {
  const hint = error instanceof DomainError && error.hint !== undefined ? `\nhint: ${error.hint}` : "";
  process.stderr.write(`error: ${(error as Error).message}${hint}\n`);
  process.exitCode = 1;
}

async function holdCeremony(): Promise<void> {
  // Before anything is written to the token.
  checkCustody(settings);
  forgetUnfinished();
  const pin = randomDigits();
  const securityOfficerPin = randomDigits();
  writeFileSync(join(settings.directory, "hsm.pin"), pin, { mode: 0o600 });
  writeFileSync(join(settings.directory, "hsm.so-pin"), securityOfficerPin, { mode: 0o600 });
  const token = beginToken({
    ...settings,
    pin,
    securityOfficerPin,
    check: (hsm) => requireFit(settings.profile, { hsm, custodyChosen }),
  });
  try {
    using recoveryKey = token.recoveryKey;
    const shares = await splitRecoveryKey(recoveryKey, settings);
    for (const [at, share] of shares.entries()) {
      writeFileSync(join(settings.recoveryDirectory, `share-${at + 1}.txt`), share, { mode: 0o600 });
    }
    const wraps: Record<string, string> = { "binding-mac": token.bindingKeyWrap.toString("base64") };
    for (const service of sealedServices) {
      using sealKey = SecretBytes.take(randomBytes(32));
      wraps[`seal-${service}`] = token.wrapForRecovery(sealKey).toString("base64");
      writeFileSync(join(settings.directory, "handoff", `${service}.seal.key`), sealKey.expose(), {
        mode: 0o600,
      });
    }
    // Last: its presence says that the ceremony is whole.
    const transcript = {
      version: 1,
      heldAt: new Date().toISOString(),
      token: { label: settings.tokenLabel, serial: token.tokenSerial, model: token.model },
      recoveryKey: recoveryKeyId(recoveryKey),
      custody: { threshold: settings.threshold, shares: settings.shares },
      shareDigests: shares.map((share) => shareDigest(shareProof(share))),
      recoveryWraps: wraps,
    } as const;
    writeTranscript(settings.directory, await bindTranscript(transcript, (data) => token.bindingMac(data)));
  } finally {
    token.close();
  }
}

/** The token must be there, and hold the binding key: nothing that the old one bound would open with another. */
async function accept(held: CeremonyTranscript, serial: string): Promise<void> {
  const pin = readFileSync(join(settings.directory, "hsm.pin"), "utf8").trim();
  await using hsm = openPkcs11Hsm({ ...settings, pin, serial });
  const mac = (data: Uint8Array): Promise<Buffer> => hsm.bindingMac(data);
  await requireGenuine(held, mac);
  writeTranscript(settings.directory, await bindTranscript(acceptToken(held, serial, new Date()), mac));
}

/** A ceremony that was cut off made keys that nothing depends on yet: with SoftHSM, begin anew. */
function forgetUnfinished(): void {
  for (const name of ["token", "handoff"]) {
    rmSync(join(settings.directory, name), { recursive: true, force: true });
    mkdirSync(join(settings.directory, name), { mode: 0o700 });
  }
}

function randomDigits(): string {
  return Array.from({ length: pinDigits }, () => randomInt(10)).join("");
}
