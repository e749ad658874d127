import { createHash, generateKeyPairSync } from "node:crypto";
import type { Claviger } from "./claviger.ts";

export interface RenewedIdentity {
  /** Lower-case hexadecimal. */
  serial: string;
  notAfter: Date;
}

/**
 * A new key and certificate for the identity in use: its files are replaced, its channels follow, and
 * so does whoever listens to `claviger.identity.onChange`. The old pair is gone then. The trust bundle comes
 * first, since the new certificate may be of a CA that this identity does not know yet.
 */
export async function renewIdentity(claviger: Claviger): Promise<RenewedIdentity> {
  await takeTrustBundle(claviger);
  const { buildCertificateSigningRequest } = await import("@claviger/x509");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { serial, certificateChain } = await claviger.certificates.renewCertificate({
    certificateSigningRequest: buildCertificateSigningRequest({ privateKey }),
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  claviger.identity.replaceCertificate(key, certificateChain);
  return { serial, notAfter: new Date(claviger.identity.leaf.validTo) };
}

/** Takes the roots that are trusted now, and lets distribution know of it: a CA that somebody waits for stays. */
export async function takeTrustBundle({ certificates, identity }: Claviger): Promise<void> {
  const { trustBundle } = await certificates.getTrustBundle({});
  if (trustBundle !== identity.trustBundle) identity.replaceTrustBundle(trustBundle);
  const loadedBundleSha256 = createHash("sha256").update(identity.trustBundle, "utf8").digest("hex");
  await certificates.synchronizeTrust({ loadedBundleSha256, bootstrapDropped: !identity.trustsBootstrap });
}

/** When to renew: at two thirds of the certificate's life, so that a third is left to try again. */
export function renewalDue(claviger: Claviger): Date {
  const { leaf } = claviger.identity;
  const from = Date.parse(leaf.validFrom);
  return new Date(from + ((Date.parse(leaf.validTo) - from) * 2) / 3);
}
