import { generateKeyPairSync } from "node:crypto";
import type { Claviger } from "./claviger.ts";

export interface RenewedIdentity {
  /** Lower-case hexadecimal. */
  serial: string;
  notAfter: Date;
}

/**
 * A new key and certificate for the identity in use: its files are replaced, its channels follow, and
 * so does whoever listens to `claviger.identity.onChange`. The old pair is gone then.
 */
export async function renewIdentity(claviger: Claviger): Promise<RenewedIdentity> {
  const { buildCertificateSigningRequest } = await import("@claviger/x509");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { serial, certificateChain } = await claviger.certificates.renewCertificate({
    certificateSigningRequest: buildCertificateSigningRequest({ privateKey }),
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  claviger.identity.replaceCertificate(key, certificateChain);
  return { serial, notAfter: new Date(claviger.identity.leaf.validTo) };
}

/** When to renew: at two thirds of the certificate's life, so that a third is left to try again. */
export function renewalDue(claviger: Claviger): Date {
  const { leaf } = claviger.identity;
  const from = Date.parse(leaf.validFrom);
  return new Date(from + ((Date.parse(leaf.validTo) - from) * 2) / 3);
}
