import { createHash } from "node:crypto";
import type { Registry } from "./registry.ts";
import { findCertificate } from "./store/certificates.ts";
import { listTrust, saveTrust, type TrustRow } from "./store/trust.ts";

/** Everybody who was certified by bootstrap: the services, and the bus. */
const expected = ["storage", "generator", "distribution", "rotation", "audit", "nats"] as const;

export interface TrustReport {
  service: string;
  certificateSerial: string;
  loadedBundleSha256: string;
  bootstrapDropped: boolean;
}

export interface TrustAdvice {
  renewNow: boolean;
  dropBootstrap: boolean;
  settled: boolean;
  waitingFor: string[];
}

/** What is true of the CAs now. */
export interface TrustTarget {
  digest: string;
  /** Of the issuing CA that signs. */
  generation: number;
  /** This process's start. */
  since: Date;
}

export function bundleDigest(bundle: string): string {
  return createHash("sha256").update(bundle, "utf8").digest("hex");
}

/**
 * What a service should do next, so that nobody ever meets a certificate that it cannot verify:
 * everybody takes the bundle before anybody renews, and everybody has renewed before anybody stops
 * trusting the bootstrap CA. A new generation of the CAs goes the same way.
 */
export async function adviseTrust(
  registry: Registry,
  report: TrustReport,
  target: TrustTarget,
): Promise<TrustAdvice> {
  const certificate = await findCertificate(registry.tx, registry.sealer, report.certificateSerial);
  await saveTrust(registry.tx, {
    service: report.service,
    bundleSha256: report.loadedBundleSha256,
    renewed: certificate?.profile === "service",
    issuerGeneration: certificate?.authorityGeneration ?? 0,
    bootstrapDropped: report.bootstrapDropped,
    seenAt: registry.now,
  });
  return decideTrust(await listTrust(registry.tx), report.service, target);
}

/**
 * What somebody trusts stays on its disk; which certificate it shows counts only if it was seen since
 * `since`, this process's start: all parts may have been certified anew while everything was stopped.
 */
export function decideTrust(rows: readonly TrustRow[], service: string, target: TrustTarget): TrustAdvice {
  const own = rows.find((row) => row.service === service);
  const withoutBundle = partsWithoutBundle(rows, target.digest);
  const notRenewed = partsWithoutRenewal(rows, target.since, target.generation);
  const everybodyTrusts = withoutBundle.length === 0;
  const everybodyRenewed = everybodyTrusts && notRenewed.length === 0;
  const isCurrent = own !== undefined && hasCurrent(own, target.generation);
  return {
    renewNow: everybodyTrusts && !isCurrent,
    dropBootstrap: everybodyRenewed,
    settled: isCurrent && own.bootstrapDropped && own.bundleSha256 === target.digest,
    waitingFor: everybodyTrusts ? notRenewed : withoutBundle,
  };
}

export function partsWithoutBundle(rows: readonly TrustRow[], digest: string): string[] {
  return missing(rows, (row) => row.bundleSha256 === digest);
}

export function partsWithoutRenewal(rows: readonly TrustRow[], since: Date, generation: number): string[] {
  return missing(rows, (row) => hasCurrent(row, generation) && row.seenAt >= since);
}

function missing(rows: readonly TrustRow[], has: (row: TrustRow) => boolean): string[] {
  return expected.filter((name) => !rows.some((row) => row.service === name && has(row)));
}

function hasCurrent({ issuerGeneration, renewed }: TrustRow, generation: number): boolean {
  return renewed && issuerGeneration >= generation;
}
