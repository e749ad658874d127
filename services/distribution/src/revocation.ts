import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { isRevocationReason, type RevocationReason, revocationReasons } from "@claviger/x509";
import { publish, type Registry } from "./registry.ts";
import { type CertificateRow, lockLiveCertificates, markRevoked } from "./store/certificates.ts";
import { findIdentity, type IdentityRow, saveIdentity, voidTokens } from "./store/identities.ts";

/** Storage is told first: where the transaction here then fails, a certificate is refused too early, never too late. */
export type AccessClient = Client<typeof AccessService>;

const identitiesCertificatesMax = 1000;

export function checkReason(reason: string): RevocationReason {
  const chosen = reason || "unspecified";
  if (isRevocationReason(chosen) && chosen !== "certificateHold") return chosen;
  const known = Object.keys(revocationReasons).filter((name) => name !== "certificateHold");
  throw new DomainError(
    "invalid-argument",
    `"${chosen.slice(0, 40)}" is not a reason that this version serves`,
    {
      hint: `one of ${known.join(", ")} (RFC 5280 section 5.3.1)`,
    },
  );
}

export async function revokeCertificate(
  registry: Registry,
  storage: AccessClient,
  row: CertificateRow,
  reason: RevocationReason,
): Promise<CertificateRow> {
  if (row.revokedAt !== null) {
    throw new DomainError(
      "failed-precondition",
      `${row.serial} was revoked on ${row.revokedAt.toISOString()}`,
    );
  }
  await storage.recordRevocation({ certificateSerial: row.serial, reason, revoked: true });
  const revoked = await markRevoked(registry.tx, registry.sealer, row, registry.now, reason);
  await publish(registry, "certificate.revoked", row.serial, { reason });
  return revoked;
}

/** Ends an identity: it, each of its certificates, and its unused tokens. */
export async function revokeIdentity(
  registry: Registry,
  storage: AccessClient,
  identity: string,
  reason: RevocationReason,
): Promise<{ row: IdentityRow; certificates: number }> {
  const found = await findIdentity(registry.tx, registry.sealer, identity, "lock");
  if (found === undefined) throw new DomainError("not-found", `there is no identity ${identity}`);
  if (found.state === "revoked")
    throw new DomainError("failed-precondition", `${identity} is revoked already`);
  await storage.recordRevocation({ identity, reason, revoked: true });
  const live = await lockLiveCertificates(registry.tx, registry.sealer, identity, registry.now);
  if (live.length > identitiesCertificatesMax) {
    throw new DomainError("exhausted", `${identity} has over ${identitiesCertificatesMax} live certificates`);
  }
  for (const certificate of live) await revokeCertificate(registry, storage, certificate, reason);
  await voidTokens(registry.tx, registry.sealer, identity);
  const row: IdentityRow = { ...found, state: "revoked" };
  await saveIdentity(registry.tx, registry.sealer, row);
  await publish(registry, "identity.revoked", "identities", { certificates: live.length });
  return { row, certificates: live.length };
}
