import type { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import type { Policy } from "@claviger/rpc";

const reading = { callers: "anyone", permission: "audit.read" } as const;

export const auditPolicy: Policy<typeof AuditService> = {
  searchRecords: { ...reading, subject: (request) => request.actor },
  getInclusionProof: reading,
  getCheckpoint: reading,
};
