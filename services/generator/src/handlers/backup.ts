import { randomUUID } from "node:crypto";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
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
import { drillHandlers } from "./drill.ts";

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
const keepDaysDefault = 90;
const keepDaysMax = 3650;
const dayMilliseconds = 86_400_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function backupHandlers(options: BackupOptions): Handlers<typeof BackupService, undefined> {
  const { attester, hsm, now, random, trustDomain } = options;
  const { beginBackup } = BackupService.method;
  return {
    ...custodyHandlers(options),
    ...drillHandlers(options),
    async listBackups() {
      const { backups } = await options.storage.listBackups({});
      return {
        backups: backups.map(({ expiresAt, id, madeAt, madeBy, manifestDigest, recoveryKey }) => ({
          id,
          madeBy,
          madeAt: timestampDate(madeAt!).toISOString(),
          expiresAt: timestampDate(expiresAt!).toISOString(),
          expired: timestampDate(expiresAt!) <= now(),
          recoveryKey,
          manifestDigest,
        })),
      };
    },
    async purgeBackup({ backupId, copies }, context) {
      const { backups } = await options.storage.listBackups({});
      const backup = backups.find(({ id }) => id === backupId);
      context.note({ backup: backupId.slice(0, 64), copies });
      if (backup === undefined) {
        throw new DomainError(
          "not-found",
          "no backup with that id was made here, so that its day is not known",
          {
            hint: "claviger backup list shows which there are",
          },
        );
      }
      const expiresAt = timestampDate(backup.expiresAt!);
      if (expiresAt > now()) {
        throw new DomainError(
          "failed-precondition",
          `backup ${backupId} is kept until ${expiresAt.toISOString()}`,
          {
            hint: "it may be the only one that holds what was lost: from that day on it can be purged",
          },
        );
      }
      return { expiredAt: expiresAt.toISOString() };
    },
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
    async attestBackup({ backupId, keepDays, manifestDigest, recoveryKey }, context) {
      if (!uuid.test(backupId) || manifestDigest.length !== digestBytes) {
        throw new DomainError("invalid-argument", "a backup's id and the SHA-256 of its manifest are wanted");
      }
      requireSettled(recoveryKey, await hsm.recoveryKey());
      const manifest = Buffer.from(manifestDigest).toString("hex");
      const expiresAt = expiryOf(now(), keepDays);
      context.note({ backup: backupId, manifest, expiresAt: expiresAt.toISOString() });
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
        expiresAt: expiresAt.toISOString(),
      });
      const record = Buffer.from(text, "utf8");
      const { signature, signerVersion } = await attester.sign(record);
      // From here on it counts as a copy that is somewhere.
      await options.storage.recordBackup({
        id: backupId,
        madeBy: context.caller.uri,
        expiresAt: timestampFromDate(expiresAt),
        recoveryKey,
        manifestDigest,
      });
      return {
        record,
        mac: await backupMac(record, (data) => hsm.bindingMac(data)),
        signature,
        signerVersion,
      };
    },
  };
}

/** @throws DomainError `invalid-argument` */
function expiryOf(now: Date, days: number): Date {
  if (days > keepDaysMax) {
    throw new DomainError("invalid-argument", `a backup is kept for 1 to ${keepDaysMax} days`);
  }
  return new Date(now.getTime() + (days || keepDaysDefault) * dayMilliseconds);
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
