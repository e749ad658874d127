import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createClaviger, enroll } from "@claviger/client";
import { writeOwnedFile } from "@claviger/owned-files";
import type { BootstrapOptions } from "./options.ts";

const pinAttemptsMax = 40;
const pinPauseMilliseconds = 250;

/**
 * What can only be done once the services run: the first administrator enrols with the secret that
 * bootstrap made, and the installation's public trust anchors are written beside claviger.json.
 */
export async function completeBootstrap(
  options: Pick<BootstrapOptions, "layout" | "trustDomain" | "onNotice"> & {
    addresses: Readonly<Record<string, string>>;
    /** PEM, without the bootstrap CA. */
    trustBundle: string;
  },
): Promise<void> {
  const { layout, trustBundle } = options;
  await writeOwnedFile(layout.trust.bundle, trustBundle, { mode: 0o644 });
  const directory = layout.administratorDirectory;
  if (!existsSync(join(directory, "cert.pem"))) await enrolAdministrator(options, directory);
  const verifierKeyPath = join(layout.trust.directory, "audit.vkey");
  if (!existsSync(verifierKeyPath)) await pinAuditKey(options, verifierKeyPath);
}

async function enrolAdministrator(
  options: Parameters<typeof completeBootstrap>[0],
  directory: string,
): Promise<void> {
  const secretPath = join(directory, "enrollment.secret");
  const enrolled = await enroll({
    enrollmentAddress: options.addresses.enrollment ?? "",
    trustBundle: options.trustBundle,
    trustDomain: options.trustDomain,
    secret: await readFile(secretPath, "utf8"),
  });
  await writeOwnedFile(join(directory, "key.pem"), enrolled.key, { mode: 0o600 });
  await writeOwnedFile(join(directory, "bundle.pem"), enrolled.trustBundle, { mode: 0o644 });
  // Last: its presence says that the administrator is whole.
  await writeOwnedFile(join(directory, "cert.pem"), enrolled.certificateChain, { mode: 0o644 });
  await rm(secretPath);
  options.onNotice(`the first administrator is ${enrolled.identity}`);
}

/** The audit log's verifier key, taken on the host while nobody else could answer in its place. */
async function pinAuditKey(options: Parameters<typeof completeBootstrap>[0], path: string): Promise<void> {
  const { addresses, trustDomain } = options;
  using claviger = createClaviger({
    trustDomain,
    addresses,
    identityDirectory: options.layout.administratorDirectory,
  });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const { verifierKey } = await claviger.audit.getCheckpoint({});
      await writeOwnedFile(path, `${verifierKey}\n`, { mode: 0o644 });
      return;
    } catch (error) {
      if (attempt === pinAttemptsMax) throw error;
      await new Promise((resolve) => setTimeout(resolve, pinPauseMilliseconds));
    }
  }
}
