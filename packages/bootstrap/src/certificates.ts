import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDirectory, writeOwnedFile } from "@claviger/owned-files";
import { createBootstrapCa } from "./bootstrap-ca.ts";
import { type BootstrapOptions, type CertifiedPart, certifiedParts, tlsDirectoryOf } from "./options.ts";

/**
 * Gives each part that has no certificate, or one that has expired, a first one from a fresh bootstrap
 * CA. The CA's key never leaves this function's memory. All parts trust it until all have renewed from
 * distribution's own CA.
 */
export async function issueFirstCertificates(options: BootstrapOptions): Promise<readonly CertifiedPart[]> {
  for (const part of certifiedParts) {
    await ensureDirectory(tlsDirectoryOf(options, part), { mode: 0o700, account: options.accounts[part] });
  }
  const needing = certifiedParts.filter((part) => {
    const path = join(tlsDirectoryOf(options, part), "cert.pem");
    return options.renew === true || !existsSync(path) || hasExpired(path);
  });
  if (needing.length === 0) return [];
  const ca = await createBootstrapCa(options.trustDomain);
  for (const part of certifiedParts) {
    const directory = tlsDirectoryOf(options, part);
    const account = options.accounts[part];
    await writeOwnedFile(join(directory, "bootstrap.pem"), ca.certificate, { mode: 0o644, account });
    if (!needing.includes(part)) continue;
    const issued = await ca.issue(part);
    await writeOwnedFile(join(directory, "key.pem"), issued.key, { mode: 0o600, account });
    await writeOwnedFile(join(directory, "cert.pem"), issued.certificate, { mode: 0o644, account });
  }
  return needing;
}

/** Whether there is a certificate whose time has passed. */
export function hasExpired(path: string): boolean {
  return existsSync(path) && Date.parse(new X509Certificate(readFileSync(path)).validTo) <= Date.now();
}
