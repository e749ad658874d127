import type { Permission } from "@claviger/access";
import { parseIdentity } from "@claviger/identity";
import type { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import type { ApprovalService } from "@claviger/proto/storage/v1/approval_pb.ts";
import type { EmergencyService } from "@claviger/proto/storage/v1/emergency_pb.ts";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import type { PolicyService } from "@claviger/proto/storage/v1/policy_pb.ts";
import type { PostureService } from "@claviger/proto/storage/v1/posture_pb.ts";
import type { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import type { Policy } from "@claviger/rpc";

/** Exactly `spiffe://<domain>/claviger/audit`, not an identity whose name ends like it. */
function isAuditService(uri: string): boolean {
  try {
    const identity = parseIdentity(uri);
    return identity.kind === "claviger" && identity.name === "audit";
  } catch {
    return false;
  }
}

/** A client's RPC about one key. */
function onKey(permission: Permission) {
  return { callers: "anyone", permission, resource: (request: { name: string }) => request.name } as const;
}

function everywhere(permission: Permission) {
  return { callers: "anyone", permission } as const;
}

export const keyPolicy: Policy<typeof KeyService> = {
  // Open to everyone, and filtered by the handler: a caller sees what its own roles reach.
  listKeyrings: { callers: "anyone" },
  getKeyring: onKey("keyrings.get"),
  listKeys: { callers: "anyone", resource: (request) => request.keyring || "*" },
  getKey: onKey("keys.get"),
  listKeyVersions: onKey("keys.get"),
  changeKeyState: onKey("keys.change-state"),
  destroyKey: onKey("keys.destroy"),
  destroyHeldKey: onKey("keys.destroy-held"),
  restoreKey: onKey("keys.restore"),
  // A move by date is a move: who may not make the one sets no day for it.
  scheduleKey: onKey("keys.change-state"),
  describeKey: onKey("keys.configure"),
  setKeyringFloor: onKey("keyrings.configure"),
  listKeyCallers: onKey("keys.get"),
  setRotationPeriod: onKey("keys.configure"),
  placeHold: onKey("keys.hold"),
  releaseHold: onKey("keys.hold"),
};

export const registryPolicy: Policy<typeof RegistryService> = {
  checkRegistry: { callers: "anyone", permission: "audit.read" },
  listEndings: { callers: "anyone", permission: "backup.create" },
};

export const accessPolicy: Policy<typeof AccessService> = {
  listRoles: { callers: "anyone" },
  listBindings: { ...everywhere("access.get"), subject: (request) => request.identity },
  grantRole: {
    callers: "anyone",
    permission: "access.grant",
    resource: (request) => request.resource,
    subject: (request) => request.identity,
  },
  revokeRole: {
    callers: "anyone",
    permission: "access.grant",
    resource: (request) => request.resource,
    subject: (request) => request.identity,
  },
  explainAccess: { ...everywhere("access.get"), subject: (request) => request.identity },
  lintConditions: everywhere("access.get"),
  listGroups: everywhere("access.get"),
  addGroupMember: { ...everywhere("access.grant"), subject: (request) => request.identity },
  removeGroupMember: { ...everywhere("access.grant"), subject: (request) => request.identity },
  decideAccess: {
    callers: ["generator", "distribution", "rotation", "audit"],
    resource: (request) => request.resource,
    subject: (request) => request.identity,
    // The checkpoint's own path: to record it would make the log grow because it had grown.
    auditExempt: (request) =>
      request.permission === "" && isAuditService(request.identity)
        ? "a checkpoint is its own record"
        : undefined,
  },
  listRevocations: { callers: ["distribution"] },
  recordRevocation: { callers: ["distribution"], subject: (request) => request.identity },
};

export const approvalPolicy: Policy<typeof ApprovalService> = {
  listApprovalRules: everywhere("access.get"),
  setApprovalRule: { ...everywhere("access.grant"), resource: (request) => request.resource || "*" },
  removeApprovalRule: { ...everywhere("access.grant"), resource: (request) => request.resource || "*" },
  // The handlers look at whom an approval concerns, and who is of its group.
  listApprovals: { callers: "anyone" },
  getApproval: { callers: "anyone" },
  approveRequest: { callers: "anyone" },
  rejectRequest: { callers: "anyone" },
  claimApproval: {
    callers: ["generator", "distribution", "rotation", "audit"],
    resource: (request) => request.resource,
    subject: (request) => request.identity,
  },
};

export const policyPolicy: Policy<typeof PolicyService> = {
  testPolicy: everywhere("access.get"),
  setPolicy: { ...everywhere("access.grant"), resource: (request) => request.change?.scope || "*" },
};

export const emergencyPolicy: Policy<typeof EmergencyService> = {
  listEmergencyRules: everywhere("access.get"),
  setEmergencyRule: {
    callers: "anyone",
    permission: "access.grant",
    resource: (request) => request.resource,
    subject: (request) => request.identity,
  },
  removeEmergencyRule: {
    callers: "anyone",
    permission: "access.grant",
    resource: (request) => request.resource,
    subject: (request) => request.identity,
  },
  // For whom a rule names; the handlers look at whom an emergency concerns.
  openEmergency: { callers: "anyone", resource: (request) => request.resource },
  closeEmergency: { callers: "anyone" },
  reviewEmergency: { callers: "anyone" },
  listEmergencies: { callers: "anyone" },
};

export const posturePolicy: Policy<typeof PostureService> = {
  listPosture: everywhere("access.get"),
  raiseFloor: everywhere("access.grant"),
  removeFloor: everywhere("access.grant"),
};

const generatorOnly = ["generator"] as const;

export const keyMaterialPolicy: Policy<typeof KeyMaterialService> = {
  createKeyring: {
    callers: generatorOnly,
    resource: (request) => request.name,
    subject: (request) => request.original?.caller ?? "",
  },
  listKeyringGenerations: { callers: generatorOnly, resource: (request) => request.keyring },
  addKeyringGeneration: {
    callers: generatorOnly,
    resource: (request) => request.keyring,
    subject: (request) => request.original?.caller ?? "",
  },
  listSupersededGenerations: { callers: generatorOnly },
  listSupersededMaterial: { callers: generatorOnly, resource: (request) => request.keyring },
  replaceMaterial: { callers: generatorOnly, resource: (request) => request.keyring },
  endKeyringGeneration: { callers: generatorOnly, resource: (request) => request.keyring },
  createKey: {
    callers: generatorOnly,
    resource: (request) => request.name,
    subject: (request) => request.original?.caller ?? "",
  },
  addKeyVersion: {
    callers: generatorOnly,
    resource: (request) => request.name,
    subject: (request) => request.original?.caller ?? "",
  },
  acknowledgeDestruction: { callers: generatorOnly, resource: (request) => request.name },
  getDestruction: { callers: generatorOnly, resource: (request) => request.name },
  recordBackup: { callers: generatorOnly, subject: (request) => request.madeBy },
  listBackups: { callers: generatorOnly },
  recordDrill: { callers: generatorOnly, subject: (request) => request.by },
  recordDrillEnd: { callers: generatorOnly, subject: (request) => request.by },
  listDrills: { callers: generatorOnly },
  adoptRecoveryKey: { callers: generatorOnly },
  listForeignRecoveryWraps: { callers: generatorOnly },
  replaceRecoveryWraps: { callers: generatorOnly },
  recordCustody: { callers: generatorOnly, subject: (request) => request.identity },
  listCustody: { callers: generatorOnly },
  getGenerationRecord: { callers: generatorOnly, resource: (request) => request.name },
  reportUses: { callers: generatorOnly },
  reserveUses: { callers: generatorOnly, resource: (request) => request.name },
  keepImportKey: {
    callers: generatorOnly,
    resource: (request) => request.name,
    subject: (request) => request.caller,
  },
  takeImportKey: {
    callers: generatorOnly,
    resource: (request) => request.name,
    subject: (request) => request.caller,
  },
  getKeyMaterial: {
    callers: generatorOnly,
    resource: (request) => request.name,
    auditExempt: (request) =>
      request.name === "system/audit-checkpoint" ? "a checkpoint is its own record" : undefined,
  },
};
