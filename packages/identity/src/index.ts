export { type AuthenticationStrength, readStrength, type TlsSession } from "./authentication-strength.ts";
export {
  type Identity,
  type IdentityKind,
  identityFromName,
  identityFromSubjectAltName,
  identityKinds,
  parseIdentity,
  serviceIdentity,
  shortName,
} from "./spiffe.ts";
export { TlsIdentity, type TlsMaterial } from "./tls-identity.ts";
