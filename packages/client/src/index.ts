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
export { type RenewedIdentity, renewalDue, renewIdentity } from "./renew.ts";
export { type AgreementRequest, beginBackup, importKey, type OpenedSecret, secrets } from "./secrets.ts";
export { type Client, createServiceClient } from "./service-client.ts";
export { Transport, type TransportOptions } from "./transport.ts";
export { type IdentityFiles, requireNoIdentity, writeIdentity } from "./write-identity.ts";
