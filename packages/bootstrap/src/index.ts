import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ensureDirectory, writeOwnedFile } from "@claviger/owned-files";
import { holdCeremony } from "./ceremony.ts";
import { hasExpired, issueFirstCertificates } from "./certificates.ts";
import { type BootstrapOptions, serviceNames } from "./options.ts";

export { writeSoftHsmConfiguration } from "./ceremony.ts";
export { completeBootstrap } from "./complete.ts";
export { sharesLeft } from "./custody.ts";
export type { BootstrapLayout, BootstrapOptions } from "./options.ts";

/**
 * Makes what an installation has only once. Called at each start before the bus and the services;
 * idempotent, and quick when all is there.
 */
export async function initialise(options: BootstrapOptions): Promise<void> {
  await holdCeremony(options);
  await shareAuditKeys(options);
  const certified = await issueFirstCertificates(options);
  if (certified.length > 0) {
    options.onNotice(`the bootstrap CA certified ${certified.join(", ")}; its key is gone already`);
  }
  await inviteFirstAdministrator(options);
  await writeClientConfiguration(options);
}

/** Each service shares a key with the audit log, so that whoever writes to the bus cannot make records. */
async function shareAuditKeys(options: BootstrapOptions): Promise<void> {
  const { accounts, layout } = options;
  const copies = join(layout.serviceDirectory("audit"), "keys");
  await ensureDirectory(copies, { mode: 0o700, account: accounts.audit });
  for (const service of serviceNames) {
    const own = join(layout.serviceDirectory(service), "audit.key");
    const copy = join(copies, `${service}.key`);
    if (existsSync(own) && existsSync(copy)) continue;
    const key = randomBytes(32);
    await writeOwnedFile(copy, key, { mode: 0o600, account: accounts.audit });
    await writeOwnedFile(own, key, { mode: 0o600, account: accounts[service] });
    key.fill(0);
  }
}

/** The secret with which the first administrator enrols; distribution is given its hash alone. */
async function inviteFirstAdministrator(options: BootstrapOptions): Promise<void> {
  const { accounts, layout } = options;
  const invitation = join(layout.serviceDirectory("distribution"), "first-administrator.sha256");
  const certificate = join(layout.administratorDirectory, "cert.pem");
  if (existsSync(invitation) && !hasExpired(certificate) && options.renew !== true) return;
  if (existsSync(certificate)) {
    options.onNotice("the administrator enrols again at the next start");
    await rm(certificate);
  }
  const secret = randomBytes(32).toString("base64url");
  await writeOwnedFile(join(layout.administratorDirectory, "enrollment.secret"), secret, { mode: 0o600 });
  const hash = createHash("sha256").update(secret).digest("hex");
  await writeOwnedFile(invitation, hash, { mode: 0o600, account: accounts.distribution });
}

/** Rewritten at each start, since ports can change. It holds no secret. */
async function writeClientConfiguration({ layout, ports, trustDomain }: BootstrapOptions): Promise<void> {
  const at = (port: number): string => `127.0.0.1:${port}`;
  const configuration = {
    version: 1,
    trustDomain,
    addresses: {
      ...Object.fromEntries(serviceNames.map((service) => [service, at(ports[service])])),
      enrollment: at(ports.enrollment),
      http: at(ports.publicHttp),
    },
    identity: "administrator",
  };
  await writeOwnedFile(layout.configurationFile, `${JSON.stringify(configuration, null, 2)}\n`, {
    mode: 0o644,
  });
}
