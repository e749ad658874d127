import { randomUUID } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildAuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";
import { isDomainError } from "@claviger/domain-error";
import { serviceIdentity } from "@claviger/identity";
import type { DatabaseAuditedWork } from "@claviger/outbox";
import type { Registry } from "./registry.ts";
import { type AccessClient, checkReason } from "./revocation.ts";
import { findCertificate, lockLiveCertificates, markRevoked } from "./store/certificates.ts";
import { findIdentity, saveIdentity, voidTokens } from "./store/identities.ts";
import { forgetTrust } from "./store/trust.ts";

export interface RestoredOptions {
  /** Where a restore leaves its note; without it, nothing is done. */
  directory: string;
  work: DatabaseAuditedWork;
  open: (tx: Transaction) => Registry;
  storage: AccessClient;
  trustDomain: string;
}

const pageSize = 200;

/**
 * After a restore from a backup: what storage knows to be revoked, and was told of since the backup was made, is revoked
 * here, too. So the lists of revoked certificates say it, and an identity is not taken for one that may renew.
 */
export async function settleRestored(options: RestoredOptions): Promise<void> {
  const note = join(options.directory, "restored.json");
  if (!existsSync(note)) return;
  const { open, storage, trustDomain, work } = options;
  let pageToken = "";
  do {
    const page = await storage.listRevocations({ pageSize, pageToken });
    let count = 0;
    await work.run(
      async (tx) => {
        count = 0;
        // The parts of this installation were certified anew, and trust nobody yet: what the backup says of them was
        // others'. Who renewed before all had taken the bundle could not be verified by the rest.
        await forgetTrust(tx);
        for (const { reason, subject } of page.revocations) {
          if (await revokeAgain(open(tx), subject, reason)) count += 1;
        }
      },
      () =>
        buildAuditRecord({
          id: randomUUID(),
          time: new Date(),
          service: "distribution",
          method: "claviger.distribution/RevokeRestored",
          permission: "",
          resource: "*",
          outcome: "allowed",
          traceId: "",
          details: { count },
          personal: { actor: serviceIdentity(trustDomain, "distribution").uri, certificateSerial: "" },
        }),
    );
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  rmSync(note);
}

/** A row that was changed outside Claviger keeps no other from being revoked: it is refused wherever it is used. */
async function revokeAgain(registry: Registry, subject: string, reason: string): Promise<boolean> {
  try {
    const [kind, name] = [subject.slice(0, subject.indexOf(":")), subject.slice(subject.indexOf(":") + 1)];
    return kind === "serial"
      ? await revokeSerial(registry, name, reason)
      : await revokeOne(registry, name, reason);
  } catch (error) {
    if (isDomainError(error, "integrity")) return false;
    throw error;
  }
}

async function revokeSerial(registry: Registry, serial: string, reason: string): Promise<boolean> {
  const { now, sealer, tx } = registry;
  const row = await findCertificate(tx, sealer, serial, "lock");
  if (row === undefined || row.revokedAt !== null) return false;
  await markRevoked(tx, sealer, row, now, checkReason(reason));
  return true;
}

async function revokeOne(registry: Registry, identity: string, reason: string): Promise<boolean> {
  const { now, sealer, tx } = registry;
  const row = await findIdentity(tx, sealer, identity, "lock");
  if (row === undefined || row.state === "revoked") return false;
  for (const certificate of await lockLiveCertificates(tx, sealer, identity, now)) {
    await markRevoked(tx, sealer, certificate, now, checkReason(reason));
  }
  await voidTokens(tx, sealer, identity);
  await saveIdentity(tx, sealer, { ...row, state: "revoked" });
  return true;
}
