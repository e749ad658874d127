import type { Permission } from "@claviger/access";
import type { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import type { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { Policy, PolicyRow } from "@claviger/rpc";

function onName(permission: Permission) {
  return { callers: "anyone", permission, resource: (request: { name: string }) => request.name } as const;
}

export const keyringPolicy: Policy<typeof KeyringService> = {
  createKeyring: onName("keyrings.create"),
  rotateKeyring: onName("keyrings.rotate"),
  attestCeremony: { callers: "anyone", permission: "audit.read" },
};

export const keyGenerationPolicy: Policy<typeof KeyGenerationService> = {
  createKey: onName("keys.create"),
  createKeyVersion: onName("keys.rotate"),
  getPublicKey: onName("keys.public"),
  attestKey: onName("keys.get"),
  attestDestruction: onName("keys.get"),
  beginImport: onName("keys.import"),
  importKey: onName("keys.import"),
  exportKey: onName("keys.export"),
};

export const cryptographyPolicy: Policy<typeof CryptographyService> = {
  encrypt: onName("keys.encrypt"),
  decrypt: onName("keys.decrypt"),
  sign: onName("keys.sign"),
  verify: onName("keys.verify"),
  generateRandom: { callers: "anyone", permission: "random.generate" },
  encryptBatch: onName("keys.encrypt"),
  decryptBatch: onName("keys.decrypt"),
  signBatch: onName("keys.sign"),
  verifyBatch: onName("keys.verify"),
  reencrypt: onName("keys.reencrypt"),
  mac: onName("keys.mac"),
  verifyMac: onName("keys.verify"),
  generateDataKey: onName("keys.encrypt"),
  wrapKey: onName("keys.wrap"),
  unwrapKey: onName("keys.unwrap"),
  agreeSecret: onName("keys.agree"),
  encapsulate: onName("keys.public"),
  decapsulate: onName("keys.decapsulate"),
  // Each operation inside is decided about by its own method's row.
  useBatch: { callers: "anyone" },
  use: { callers: "anyone" },
};

export const backupPolicy: Policy<typeof BackupService> = {
  beginBackup: { callers: "anyone", permission: "backup.create" },
  attestBackup: { callers: "anyone", permission: "backup.create" },
  listBackups: { callers: "anyone", permission: "audit.read" },
  purgeBackup: { callers: "anyone", permission: "backup.create" },
  // Who makes backups also tries them.
  beginDrill: { callers: "anyone", permission: "backup.create" },
  endDrill: { callers: "anyone", permission: "backup.create" },
  listDrills: { callers: "anyone", permission: "audit.read" },
  getCustody: { callers: "anyone", permission: "audit.read" },
  // Who has a share may say so: that is the proof.
  acknowledgeCustody: { callers: "anyone" },
};

export const checkpointPolicy: Policy<typeof CheckpointService> = {
  signCheckpoint: {
    callers: ["audit"],
    resource: () => "system/audit-checkpoint",
    // To record it would make the log grow because it had grown.
    auditExempt: () => "a checkpoint is its own record",
  },
};

/** For the distribution service alone, and for what others signed: `resource` is the key that vouches for the answer. */
const distributed = {
  callers: ["distribution"],
  permission: "keys.distribute",
  resource: () => "system/session-tickets",
} as const satisfies PolicyRow<unknown>;

export const keyDistributionPolicy: Policy<typeof KeyDistributionService> = {
  bindRecipient: distributed,
  issueSessionKey: distributed,
  issuePreSharedKey: distributed,
  advanceGroup: distributed,
  issueGroupKeys: distributed,
  issueDelivery: distributed,
};
