import { randomUUID } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";
import { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { sealSecret } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { Attester } from "../attester.ts";
import { backupMac } from "../ceremony/backup-binding.ts";
import type { CeremonyTranscript } from "../ceremony/transcript.ts";
import type { TestedRandom } from "../health/tested-random.ts";
import type { Hsm } from "../hsm/port.ts";

export interface BackupOptions {
  hsm: Hsm;
  random: TestedRandom;
  attester: Attester;
  transcript: CeremonyTranscript;
  trustDomain: string;
  now: () => Date;
}

const backupKeyBytes = 32;
const digestBytes = 32;
const recordVersion = 1;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function backupHandlers(options: BackupOptions): Handlers<typeof BackupService, undefined> {
  const { attester, hsm, now, random, transcript, trustDomain } = options;
  const { beginBackup } = BackupService.method;
  return {
    async beginBackup({ recipientPublicKey }, context) {
      using key: SecretBytes = await random.mixed(backupKeyBytes);
      const backupId = randomUUID();
      const method = `${BackupService.typeName}/${beginBackup.name}`;
      const wrappedKey = await hsm.wrapForRecovery(key);
      const sealedKey = await sealSecret(recipientPublicKey, { method, name: backupId, version: 1 }, key);
      context.note({ backup: backupId });
      const ceremony = Buffer.from(canonicalJson(transcript), "utf8");
      return { backupId, sealedKey, wrappedKey, recoveryKey: transcript.recoveryKey, ceremony };
    },
    async attestBackup({ backupId, manifestDigest }, context) {
      if (!uuid.test(backupId) || manifestDigest.length !== digestBytes) {
        throw new DomainError("invalid-argument", "a backup's id and the SHA-256 of its manifest are wanted");
      }
      const manifest = Buffer.from(manifestDigest).toString("hex");
      context.note({ backup: backupId, manifest });
      const text = canonicalJson({
        v: recordVersion,
        kind: "backup",
        trustDomain,
        backup: backupId,
        manifestSha256: manifest,
        recoveryKey: transcript.recoveryKey,
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
