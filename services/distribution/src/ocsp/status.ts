import type { OcspStatus } from "@claviger/x509";
import type { Authority, AuthoritySnapshot } from "../authorities.ts";

import type { Registry } from "../registry.ts";
import { type CertificateRow, findCertificate } from "../store/certificates.ts";

/** What is true of a serial of this CA now. CA certificates are known by their own rows. */
export async function statusOfSerial(
  registry: Registry,
  snapshot: AuthoritySnapshot,
  issuer: Authority,
  serial: string,
): Promise<OcspStatus> {
  const ca = snapshot.all.find(
    (candidate) => candidate.serial === serial && Buffer.compare(candidate.issuerKeyId, issuer.keyId) === 0,
  );
  if (ca !== undefined) return statusOfAuthority(ca, registry.now);
  const row = await findCertificate(registry.tx, registry.sealer, serial);
  if (row?.authority !== issuer.row.name || row.authorityGeneration !== issuer.row.generation) {
    return { status: "unknown" };
  }
  return statusOfRow(row);
}

export function statusOfRow({ revocationReason, revokedAt }: CertificateRow): OcspStatus {
  if (revokedAt === null || revocationReason === null) return { status: "good" };
  return { status: "revoked", revokedAt, reason: revocationReason };
}

function statusOfAuthority(ca: Authority, now: Date): OcspStatus {
  if (ca.state !== "distrusted") return { status: "good" };
  const revokedAt = ca.stateChangedAt ?? now;
  return { status: "revoked", revokedAt, reason: "cACompromise" };
}

/** Whether two answers about a certificate would say the same. */
export function sameStatus(one: OcspStatus, other: OcspStatus): boolean {
  if (one.status !== "revoked" || other.status !== "revoked") return one.status === other.status;
  return one.reason === other.reason && one.revokedAt.getTime() === other.revokedAt.getTime();
}
