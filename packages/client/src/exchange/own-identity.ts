import { identityFromSubjectAltName } from "@claviger/identity";
import { type SignedRequest, type StatementFields, signRequest } from "@claviger/signed-request";
import type { Claviger } from "../claviger.ts";

/** Who this process is: its SPIFFE URI. */
export function ownUri({ identity, trustDomain }: Pick<Claviger, "identity" | "trustDomain">): string {
  return identityFromSubjectAltName(identity.leaf.subjectAltName, trustDomain).uri;
}

/** A request that this identity signs, so that who passes it on can change nothing of it. */
export function signed(
  claviger: Pick<Claviger, "identity" | "trustDomain">,
  does: string,
  fields: StatementFields,
): SignedRequest {
  return signRequest(claviger.identity.material, { by: ownUri(claviger), does, fields });
}
