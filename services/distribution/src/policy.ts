import type { Permission } from "@claviger/access";
import type { AuthorityService } from "@claviger/proto/distribution/v1/authority_pb.ts";
import type { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import type { DeliveryService } from "@claviger/proto/distribution/v1/delivery_pb.ts";
import type { GroupKeyService } from "@claviger/proto/distribution/v1/group_pb.ts";
import type { EnrollmentService, IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import type { PreSharedKeyService } from "@claviger/proto/distribution/v1/pre_shared_key_pb.ts";
import type { ProfileService } from "@claviger/proto/distribution/v1/profile_pb.ts";
import type { RecipientService } from "@claviger/proto/distribution/v1/recipient_pb.ts";
import type { RowService } from "@claviger/proto/distribution/v1/rows_pb.ts";
import type { SessionKeyService } from "@claviger/proto/distribution/v1/session_pb.ts";
import type { TokenIssuerService } from "@claviger/proto/distribution/v1/token_issuer_pb.ts";
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
  // Rules decide, about each name.
  requestCertificate: { callers: "anyone" },
  // For the caller's own identity, which its certificate proves.
  renewCertificate: { callers: "anyone", renewal: true },
  revokeCertificate: everywhere("certificates.revoke"),
  revokePublicKey: everywhere("certificates.revoke"),
  listCertificates: everywhere("certificates.get"),
  getCertificate: everywhere("certificates.get"),
  // Public artefacts.
  getAttestationCertificate: { callers: "anyone" },
  getTrustBundle: { callers: "anyone", renewal: true },
  getCertificateRevocationList: { callers: "anyone" },
  // Says what its caller trusts; to Claviger's own parts it says when they may go on.
  // Goes with a renewal: it says what is trusted, and takes what is to be.
  synchronizeTrust: { callers: "anyone", renewal: true },
};

export const authorityPolicy: Policy<typeof AuthorityService> = {
  listAuthorities: everywhere("certificates.get"),
  startAuthorityRotation: everywhere("authorities.manage"),
  getAuthorityRotation: everywhere("certificates.get"),
  revokeSupersededCertificates: everywhere("authorities.manage"),
  distrustAuthority: everywhere("authorities.manage"),
  // Public.
  watchTrustBundle: { callers: "anyone" },
};

export const profilePolicy: Policy<typeof ProfileService> = {
  createProfile: everywhere("authorities.manage"),
  listProfiles: everywhere("certificates.get"),
  deleteProfile: everywhere("authorities.manage"),
  addNameRule: { ...everywhere("authorities.manage"), subject: (request) => request.identity },
  listNameRules: everywhere("certificates.get"),
  removeNameRule: everywhere("authorities.manage"),
  createAuthorityRequest: everywhere("authorities.manage"),
  installAuthority: everywhere("authorities.manage"),
};

export const tokenIssuerPolicy: Policy<typeof TokenIssuerService> = {
  addTokenIssuer: everywhere("identities.enroll"),
  listTokenIssuers: everywhere("identities.get"),
  removeTokenIssuer: everywhere("identities.enroll"),
  addTokenRule: { ...everywhere("identities.enroll"), subject: (request) => request.identity },
  removeTokenRule: everywhere("identities.enroll"),
};

export const rowPolicy: Policy<typeof RowService> = {
  checkRows: everywhere("audit.read"),
};

export const recipientPolicy: Policy<typeof RecipientService> = {
  // For the caller's own identity, which its certificate proves.
  beginRecipient: { callers: "anyone" },
  registerRecipient: { callers: "anyone" },
  listRecipients: everywhere("exchange.get"),
};

export const sessionPolicy: Policy<typeof SessionKeyService> = {
  // The session rules decide.
  openSession: { callers: "anyone" },
  allowSessions: everywhere("exchange.manage"),
  forbidSessions: everywhere("exchange.manage"),
  listSessionRules: everywhere("exchange.get"),
};

export const groupPolicy: Policy<typeof GroupKeyService> = {
  createGroup: everywhere("exchange.manage"),
  joinGroup: everywhere("exchange.manage"),
  // A member leaves by itself; others are removed by who may manage groups.
  leaveGroup: { callers: "anyone" },
  getKeyGroup: everywhere("exchange.get"),
  listKeyGroups: everywhere("exchange.get"),
  // Who is a member decides.
  getGroupKeys: { callers: "anyone" },
  watchGroupKeys: { callers: "anyone" },
};

export const preSharedKeyPolicy: Policy<typeof PreSharedKeyService> = {
  createPreSharedKey: everywhere("exchange.manage"),
  getPreSharedKey: everywhere("exchange.get"),
  listPreSharedKeys: everywhere("exchange.get"),
  // Who is a party decides.
  fetchPreSharedKey: { callers: "anyone" },
  acknowledgePreSharedKey: { callers: "anyone" },
};

export const deliveryPolicy: Policy<typeof DeliveryService> = {
  deliverKey: { callers: "anyone", permission: "keys.export", resource: (request) => request.name },
  listDeliveries: everywhere("exchange.get"),
  // Who is a recipient decides.
  listWaitingDeliveries: { callers: "anyone" },
  fetchDelivery: { callers: "anyone" },
  acknowledgeDelivery: { callers: "anyone" },
};
