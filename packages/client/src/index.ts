export type { CallOptions } from "./call.ts";
export {
  type Claviger,
  type ClavigerOptions,
  type ConfiguredOptions,
  createClaviger,
  type ExplicitOptions,
} from "./claviger.ts";
export {
  type Addresses,
  type AddressName,
  addressNames,
  type ClavigerConfig,
  type ConfigLookup,
  findConfigFile,
  readConfigFile,
  type ServiceName,
  serviceNames,
} from "./config-file.ts";
export { type WrittenEndings, writeEndings } from "./endings.ts";
export {
  type EnrolledIdentity,
  type EnrollOptions,
  enroll,
  enrollWithToken,
  type JoinedIdentity,
} from "./enroll.ts";
export { type EnrollmentToken, parseEnrollmentToken } from "./enrollment-token.ts";
export {
  acknowledgeDelivery,
  type DeliveredKey,
  deliverKey,
  fetchDelivery,
  verifyReceipt,
} from "./exchange/deliveries.ts";
export {
  createGroup,
  currentGroupKey,
  type GroupKey,
  groupKeys,
  joinGroup,
  leaveGroup,
  watchGroupKeys,
} from "./exchange/groups.ts";
export {
  acknowledgePreSharedKey,
  createPreSharedKey,
  type FetchedPreSharedKey,
  fetchPreSharedKey,
  rotatePreSharedKey,
} from "./exchange/pre-shared-keys.ts";
export { formatPreSharedKey, type PskFormat, pskFormats, pskIdentity } from "./exchange/psk-formats.ts";
export {
  importPreSharedKey,
  type PskImport,
  type TargetKdf,
  type TargetProtocol,
} from "./exchange/psk-importer.ts";
export { registerRecipient } from "./exchange/recipient-keys.ts";
export { createReplayCache, openReplayDirectory, type ReplayCache } from "./exchange/replays.ts";
export { acceptSession, openSession, type Session } from "./exchange/session.ts";
export { acceptTicket, requestSessionKey, type SessionKey } from "./exchange/session-keys.ts";
export { keepTrust } from "./keep-trust.ts";
export { type RenewedIdentity, renewalDue, renewIdentity } from "./renew.ts";
export { type AgreementRequest, beginBackup, importKey, type OpenedSecret, secrets } from "./secrets.ts";
export { type Client, createServiceClient } from "./service-client.ts";
export { Transport, type TransportOptions } from "./transport.ts";
export { TrustKeeper, type TrustKeeperOptions } from "./trust-keeper.ts";
export { type IdentityFiles, requireNoIdentity, writeIdentity } from "./write-identity.ts";
