import { randomUUID } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { sealSecret } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { Attester } from "../attester.ts";
import { backupMac } from "../ceremony/backup-binding.ts";
import type { CeremonyTranscript } from "../ceremony/transcript.ts";
import type { TestedRandom } from "../health/tested-random.ts";
import type { Hsm } from "../hsm/port.ts";
import { custodyHandlers } from "./custody.ts";

export interface BackupOptions {
  hsm: Hsm;
  random: TestedRandom;
  attester: Attester;
  storage: Client<typeof KeyMaterialService>;
  /** As it is now: a ceremony may change it while this process runs. */
  transcript: () => Promise<CeremonyTranscript>;
  trustDomain: string;
  now: () => Date;
}

const backupKeyBytes = 32;
const digestBytes = 32;
const recordVersion = 1;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function backupHandlers(options: BackupOptions): Handlers<typeof BackupService, undefined> {
  const { attester, hsm, now, random, trustDomain } = options;
  const { beginBackup } = BackupService.method;
  return {
    ...custodyHandlers(options),
    async beginBackup({ recipientPublicKey }, context) {
      using key: SecretBytes = await random.mixed(backupKeyBytes);
      const backupId = randomUUID();
      const method = `${BackupService.typeName}/${beginBackup.name}`;
      const transcript = await options.transcript();
      const { recoveryKey, recoveryWrap: wrappedKey } = await hsm.wrapForRecovery(key);
      requireSettled(transcript.recoveryKey, recoveryKey);
      const sealedKey = await sealSecret(recipientPublicKey, { method, name: backupId, version: 1 }, key);
      context.note({ backup: backupId });
      const ceremony = Buffer.from(canonicalJson(transcript), "utf8");
      return { backupId, sealedKey, wrappedKey, recoveryKey, ceremony };
    },
    async attestBackup({ backupId, manifestDigest, recoveryKey }, context) {
      if (!uuid.test(backupId) || manifestDigest.length !== digestBytes) {
        throw new DomainError("invalid-argument", "a backup's id and the SHA-256 of its manifest are wanted");
      }
      requireSettled(recoveryKey, await hsm.recoveryKey());
      const manifest = Buffer.from(manifestDigest).toString("hex");
      context.note({ backup: backupId, manifest });
      const text = canonicalJson({
        v: recordVersion,
        kind: "backup",
        trustDomain,
        backup: backupId,
        manifestSha256: manifest,
        recoveryKey,
        requester: context.caller.uri,
        module: hsm.describe(),
        attestedAt: now().toISOString(),
      });
      const record = Buffer.from(text, "utf8");
      const { signature, signerVersion } = await attester.sign(record);
      return {
        record,
        mac: await backupMac(record, (data) => hsm.bindingMac(data)),
        signature,
        signerVersion,
      };
    },
  };
}

/** A backup is under one recovery key, and so is all that it holds. */
function requireSettled(expected: string, found: string): void {
  if (expected === found) return;
  throw new DomainError(
    "failed-precondition",
    `the recovery key is being changed: ${found} is in the HSM, and ${expected || "none"} was wanted`,
    { hint: "once `claviger backup custodians change` has ended, make another backup" },
  );
}
