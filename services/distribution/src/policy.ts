import type { Permission } from "@claviger/access";
import type { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import type { EnrollmentService, IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import type { RowService } from "@claviger/proto/distribution/v1/rows_pb.ts";
import type { Policy } from "@claviger/rpc";

function everywhere(permission: Permission) {
  return { callers: "anyone", permission } as const;
}

/** On a listener of its own: whoever calls has no certificate yet, and the token decides. */
export const enrollmentPolicy: Policy<typeof EnrollmentService> = {
  enroll: { callers: "anyone" },
};

export const identityPolicy: Policy<typeof IdentityService> = {
  createEnrollmentToken: { ...everywhere("identities.enroll"), subject: (request) => request.name },
  listIdentities: everywhere("identities.get"),
  getIdentity: { ...everywhere("identities.get"), subject: (request) => request.name },
  revokeIdentity: { ...everywhere("identities.revoke"), subject: (request) => request.name },
};

export const certificatePolicy: Policy<typeof CertificateService> = {
  issueCertificate: everywhere("certificates.issue"),
  // For the caller's own identity, which its certificate proves.
  renewCertificate: { callers: "anyone" },
  revokeCertificate: everywhere("certificates.revoke"),
  listCertificates: everywhere("certificates.get"),
  getCertificate: everywhere("certificates.get"),
  // Public artefacts.
  getAttestationCertificate: { callers: "anyone" },
  getTrustBundle: { callers: "anyone" },
  getCertificateRevocationList: { callers: "anyone" },
  synchronizeTrust: { callers: ["storage", "generator", "distribution", "rotation", "audit", "nats"] },
};

export const rowPolicy: Policy<typeof RowService> = {
  checkRows: everywhere("audit.read"),
};
