import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { isRevocationReason, type RevocationReason, revocationReasons } from "@claviger/x509";
import { publish, type Registry } from "./registry.ts";
import { countChange } from "./store/authority-changes.ts";
import { type CertificateRow, lockLiveCertificates, lockOfKey, markRevoked } from "./store/certificates.ts";
import { findIdentity, type IdentityRow, saveIdentity, voidTokens } from "./store/identities.ts";
import { insertRevokedKey } from "./store/revoked-keys.ts";

/** Storage is told first: where the transaction here then fails, a certificate is refused too early, never too late. */
export type AccessClient = Client<typeof AccessService>;

const certificatesAtOnceMax = 1000;
/** RFC 5280 section 5.3.1: it ends a hold, and is on no list itself. */
export const release = "removeFromCRL";

/** A reason to revoke for good. @throws DomainError `invalid-argument` */
export function checkReason(reason: string): RevocationReason {
  const chosen = reason || "unspecified";
  if (isRevocationReason(chosen) && chosen !== "certificateHold") return chosen;
  throw notAReason(
    chosen,
    Object.keys(revocationReasons).filter((name) => name !== "certificateHold" && name !== release),
  );
}

/** For one certificate also a hold, and its end. */
export function checkCertificateReason(reason: string): RevocationReason | typeof release {
  const chosen = reason || "unspecified";
  if (isRevocationReason(chosen) || chosen === release) return chosen;
  throw notAReason(chosen, Object.keys(revocationReasons));
}

function notAReason(reason: string, known: readonly string[]): DomainError {
  const message = `"${reason.slice(0, 40)}" is no reason for this`;
  return new DomainError("invalid-argument", message, {
    hint: `one of ${known.join(", ")} (RFC 5280 section 5.3.1)`,
  });
}

/** Revokes a certificate, holds it, or ends its hold. With a compromised key every certificate of that key ends. */
export async function revokeCertificate(
  registry: Registry,
  storage: AccessClient,
  row: CertificateRow,
  reason: RevocationReason | typeof release,
): Promise<CertificateRow> {
  if (reason === release) return releaseCertificate(registry, storage, row);
  if (
    row.revokedAt !== null &&
    (row.revocationReason !== "certificateHold" || reason === "certificateHold")
  ) {
    const since = `since ${row.revokedAt.toISOString()}`;
    throw new DomainError(
      "failed-precondition",
      row.revocationReason === "certificateHold"
        ? `${row.serial} is on hold ${since}`
        : `${row.serial} is revoked ${since} (${row.revocationReason}), and stays so`,
    );
  }
  if (reason === "keyCompromise") await revokeKey(registry, storage, row.publicKeySha256, reason, row.serial);
  return endCertificate(registry, storage, row, reason);
}

/** Whatever its state was. */
export async function endCertificate(
  registry: Registry,
  storage: AccessClient,
  row: CertificateRow,
  reason: RevocationReason,
): Promise<CertificateRow> {
  await storage.recordRevocation({ certificateSerial: row.serial, reason, revoked: true });
  const revoked = await markRevoked(registry.tx, registry.sealer, row, registry.now, reason);
  await changed(registry, row);
  await publish(registry, "certificate.revoked", row.serial, { reason });
  return revoked;
}

async function releaseCertificate(
  registry: Registry,
  storage: AccessClient,
  row: CertificateRow,
): Promise<CertificateRow> {
  if (row.revocationReason !== "certificateHold") {
    throw new DomainError(
      "failed-precondition",
      `${row.serial} is not on hold, and ${release} only ends a hold`,
      { hint: "what is revoked for another reason stays so: issue a new certificate" },
    );
  }
  const released = await markRevoked(registry.tx, registry.sealer, row, null, null);
  await changed(registry, row);
  await publish(registry, "certificate.released", row.serial);
  // Last, since services may let it in from then on.
  await storage.recordRevocation({ certificateSerial: row.serial, revoked: false });
  return released;
}

async function changed(registry: Registry, row: CertificateRow): Promise<void> {
  await countChange(registry.tx, { authority: row.authority, generation: row.authorityGeneration });
  registry.statusChanged(row.serial);
}

/** Ends a public key: it gets no certificate any more, and those that it has are revoked. */
export async function revokeKey(
  registry: Registry,
  storage: AccessClient,
  publicKeySha256: Buffer,
  reason: RevocationReason,
  except = "",
): Promise<number> {
  const { now, sealer, tx } = registry;
  await insertRevokedKey(tx, sealer, { publicKeySha256, reason, revokedAt: now });
  const limit = certificatesAtOnceMax + 1;
  const rows = await lockOfKey(tx, sealer, { publicKeySha256, limit });
  if (rows.length > certificatesAtOnceMax) {
    throw new DomainError("exhausted", `this key has over ${certificatesAtOnceMax} certificates`, {
      hint: "revoke some of them by serial first",
    });
  }
  const others = rows.filter(({ serial }) => serial !== except);
  for (const row of others) await endCertificate(registry, storage, row, reason);
  return others.length;
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
  if (live.length > certificatesAtOnceMax) {
    throw new DomainError("exhausted", `${identity} has over ${certificatesAtOnceMax} live certificates`);
  }
  for (const certificate of live) {
    const { publicKeySha256, serial } = certificate;
    if (reason === "keyCompromise") await revokeKey(registry, storage, publicKeySha256, reason, serial);
    await endCertificate(registry, storage, certificate, reason);
  }
  await voidTokens(registry.tx, registry.sealer, identity);
  const row: IdentityRow = { ...found, state: "revoked" };
  await saveIdentity(registry.tx, registry.sealer, row);
  await publish(registry, "identity.revoked", "identities", { certificates: live.length });
  return { row, certificates: live.length };
}
