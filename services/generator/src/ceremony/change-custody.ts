import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createServiceClient, Transport } from "@claviger/client";
import { readSettings } from "@claviger/config";
import { DomainError, exitCodeOf, isDomainError } from "@claviger/domain-error";
import { serviceIdentity, TlsIdentity } from "@claviger/identity";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { SecretBytes } from "@claviger/secret-bytes";
import { addressText } from "@claviger/service";
import { type CustodyToken, openCustodyToken } from "../hsm/custody-change.ts";
import { recoveryKeyId } from "../hsm/recovery-key.ts";
import { recoveryKeyOfShares } from "./given-shares.ts";
import {
  type Custody,
  checkCustody,
  combineShares,
  shareDigest,
  shareProof,
  splitRecoveryKey,
} from "./shares.ts";
import {
  bindTranscript,
  type CeremonyTranscript,
  readTranscript,
  requireGenuine,
  requireTranscript,
  rightToken,
  writeTranscript,
} from "./transcript.ts";

/**
 * The generator's program that puts another recovery key, with other shares, into the place of the one in use: run by
 * `claviger backup custodians change` on the host, under the generator's own uid, while everything goes on. A quorum
 * of the old shares comes as open files after the third.
 *
 * From `ceremony.next.json` on, which holds everything for the custodians of the new key, it can be cut off anywhere
 * and is run again with the same shares.
 */
const settings = readSettings(process.env, (reader) => ({
  directory: reader.text("CLAVIGER_DIRECTORY"),
  modulePath: reader.text("CLAVIGER_PKCS11_MODULE"),
  tokenLabel: reader.text("CLAVIGER_PKCS11_TOKEN_LABEL", "claviger"),
  trustDomain: reader.text("CLAVIGER_TRUST_DOMAIN"),
  storageAddress: addressText(reader, "CLAVIGER_STORAGE_ADDRESS"),
  given: reader.integer("CLAVIGER_GIVEN_SHARES", { min: 1, max: 16 }),
  /** As many as now, unless said. */
  threshold: reader.integer("CLAVIGER_NEXT_THRESHOLD", { min: 0, max: 16, fallback: 0 }),
  shares: reader.integer("CLAVIGER_NEXT_SHARES", { min: 0, max: 16, fallback: 0 }),
}));
const nextTranscript = "ceremony.next.json";
/** New shares, in a directory named by their key, until the host's program has moved them. */
const handoff = join(settings.directory, "custody");

process.umask(0o077);
try {
  process.stdout.write(JSON.stringify(await change()));
} catch (error) {
  process.stderr.write(`error: ${(error as Error).message}\n`);
  if (isDomainError(error) && error.hint !== undefined) process.stderr.write(`hint: ${error.hint}\n`);
  process.exitCode = exitCodeOf(error);
}

async function change(): Promise<object> {
  using from = await recoveryKeyOfShares(settings.given);
  const pin = readFileSync(join(settings.directory, "hsm.pin"), "utf8").trim();
  const token = openCustodyToken({ ...settings, pin });
  try {
    const held = requireTranscript(settings.directory);
    await requireUsable(held, token, from);
    const next = (await begun(held, token)) ?? (await begin(held, token, from));
    const { custody, recoveryKey } = next;
    const wrapped = await adopt(held.recoveryKey, recoveryKey, token, from);
    renameSync(join(settings.directory, nextTranscript), join(settings.directory, "ceremony.json"));
    return { recoveryKey, insteadOf: held.recoveryKey, ...custody, keyringKeys: wrapped };
  } finally {
    token.close();
  }
}

async function requireUsable(
  held: CeremonyTranscript,
  token: CustodyToken,
  from: SecretBytes,
): Promise<void> {
  if (token.serial !== rightToken(held)) {
    throw new DomainError("failed-precondition", `the HSM token is ${token.serial}, and not the right one`);
  }
  await requireGenuine(held, (data) => token.bindingMac(data));
  const given = recoveryKeyId(from);
  if (given === held.recoveryKey) return;
  throw new DomainError(
    "failed-precondition",
    `these are shares of recovery key ${given}, and ${held.recoveryKey} is in use`,
    { hint: "claviger backup custodians shows whose shares open it" },
  );
}

/** What an earlier run had prepared; undefined where it had not come so far. */
async function begun(held: CeremonyTranscript, token: CustodyToken): Promise<CeremonyTranscript | undefined> {
  const next = readTranscript(settings.directory, nextTranscript);
  if (next !== undefined) {
    await requireGenuine(next, (data) => token.bindingMac(data));
    const asked: Custody = { threshold: settings.threshold, shares: settings.shares };
    if (asked.threshold > 0 || asked.shares > 0) {
      const wanted = chosenCustody(held);
      if (wanted.threshold !== next.custody.threshold || wanted.shares !== next.custody.shares) {
        throw new DomainError(
          "failed-precondition",
          `a change to ${next.custody.threshold} of ${next.custody.shares} shares was begun, and is to be ended first`,
          { hint: "leave out --threshold and --shares to end it" },
        );
      }
    }
    return next;
  }
  if (!token.recoveryKeys().includes(held.recoveryKey)) {
    throw new DomainError(
      "integrity",
      `the HSM has recovery key ${token.recoveryKeys()[0] ?? "none"}, and ceremony.json says ${held.recoveryKey}`,
      { hint: "put back ceremony.json as it was last, and ceremony.next.json if there was one" },
    );
  }
  // Nothing depends yet on what is in the token beside the key in use: its shares were never whole.
  for (const id of token.recoveryKeys()) if (id !== held.recoveryKey) token.removeRecoveryKey(id);
  rmSync(handoff, { recursive: true, force: true });
  return undefined;
}

function chosenCustody({ custody }: CeremonyTranscript): Custody {
  return { threshold: settings.threshold || custody.threshold, shares: settings.shares || custody.shares };
}

/** A new key in the token, its shares, and everything of the ceremony's wrapped for them. */
async function begin(
  held: CeremonyTranscript,
  token: CustodyToken,
  from: SecretBytes,
): Promise<CeremonyTranscript> {
  const custody = chosenCustody(held);
  checkCustody(custody);
  using key = token.createRecoveryKey();
  const recoveryKey = recoveryKeyId(key);
  const shares = await splitRecoveryKey(key, custody);
  await requireOpening(shares, custody);
  const directory = join(handoff, recoveryKey);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [at, share] of shares.entries()) {
    writeFileSync(join(directory, `share-${at + 1}.txt`), share, { mode: 0o600, flush: true });
  }
  const recoveryWraps: Record<string, string> = {};
  for (const [name, wrap] of Object.entries(held.recoveryWraps)) {
    const again = await token.rewrap(from, recoveryKey, Buffer.from(wrap, "base64"));
    recoveryWraps[name] = again.toString("base64");
  }
  const changed = { recoveryKey, insteadOf: held.recoveryKey, changedAt: new Date().toISOString() };
  const next = {
    ...held,
    recoveryKey,
    custody,
    shareDigests: shares.map((share) => shareDigest(shareProof(share))),
    recoveryWraps,
    custodyChanges: [...(held.custodyChanges ?? []), changed],
  };
  const bound = await bindTranscript(next, (data) => token.bindingMac(data));
  writeTranscript(settings.directory, bound, nextTranscript);
  return bound;
}

/** Before anything relies on them: the first of them, and the last, open what they are to open. */
async function requireOpening(shares: readonly string[], { threshold }: Custody): Promise<void> {
  for (const some of [shares.slice(0, threshold), shares.slice(-threshold)]) {
    using _ = await combineShares(some);
  }
}

/** Resolves to how many keyring keys were wrapped anew by this run. */
async function adopt(from: string, to: string, token: CustodyToken, opening: SecretBytes): Promise<number> {
  using transport = new Transport({
    address: settings.storageAddress,
    identity: TlsIdentity.load(join(settings.directory, "tls")),
    serverIdentity: serviceIdentity(settings.trustDomain, "storage").uri,
  });
  const storage = createServiceClient(KeyMaterialService, transport, { deadlineMilliseconds: 15_000 });
  await storage.adoptRecoveryKey({ from, to });
  token.removeRecoveryKey(from);
  await token.announce();
  let wrapped = 0;
  for (;;) {
    const { wraps } = await storage.listForeignRecoveryWraps({ recoveryKey: to });
    if (wraps.length === 0) return wrapped;
    const replacements = [];
    for (const { generation, keyring, recoveryKey, recoveryWrap } of wraps) {
      if (recoveryKey !== from) {
        throw new DomainError(
          "failed-precondition",
          `the key of keyring ${keyring} is wrapped for recovery key ${recoveryKey}, which these shares do not open`,
        );
      }
      replacements.push({
        keyring,
        generation,
        replacedDigest: createHash("sha256").update(recoveryWrap).digest(),
        recoveryWrap: await token.rewrap(opening, to, recoveryWrap),
      });
    }
    const { replaced } = await storage.replaceRecoveryWraps({ recoveryKey: to, replacements });
    wrapped += replaced;
    process.stderr.write(`progress: ${wrapped} keyring keys are wrapped for the new custodians\n`);
    if (replaced === 0) {
      throw new DomainError("aborted", "something else wraps keyring keys at the same time", {
        hint: "run the same command again",
      });
    }
  }
}
