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

export function bundleDigest(bundle: string): string {
  return createHash("sha256").update(bundle, "utf8").digest("hex");
}

/**
 * What a service should do next, so that nobody ever meets a certificate that it cannot verify:
 * everybody takes the bundle before anybody renews, and everybody has renewed before anybody stops
 * trusting the bootstrap CA.
 */
export async function adviseTrust(
  registry: Registry,
  bundle: string,
  report: TrustReport,
  since: Date,
): Promise<TrustAdvice> {
  const certificate = await findCertificate(registry.tx, registry.sealer, report.certificateSerial);
  const renewed = certificate?.profile === "service";
  await saveTrust(registry.tx, {
    service: report.service,
    bundleSha256: report.loadedBundleSha256,
    renewed,
    bootstrapDropped: report.bootstrapDropped,
    seenAt: registry.now,
  });
  return decideTrust(await listTrust(registry.tx), bundleDigest(bundle), report.service, since);
}

/**
 * What somebody trusts stays on its disk; which certificate it shows counts only if it was seen since
 * `since`, this process's start: all parts may have been certified anew while everything was stopped.
 */
export function decideTrust(
  rows: readonly TrustRow[],
  digest: string,
  service: string,
  since: Date,
): TrustAdvice {
  const own = rows.find((row) => row.service === service);
  const missing = (has: (row: TrustRow) => boolean): string[] =>
    expected.filter((name) => !rows.some((row) => row.service === name && has(row)));
  const withoutBundle = missing((row) => row.bundleSha256 === digest);
  const notRenewed = missing((row) => row.renewed && row.seenAt >= since);
  const everybodyTrusts = withoutBundle.length === 0;
  const everybodyRenewed = everybodyTrusts && notRenewed.length === 0;
  return {
    renewNow: everybodyTrusts && own?.renewed !== true,
    dropBootstrap: everybodyRenewed,
    settled: own?.renewed === true && own.bootstrapDropped && own.bundleSha256 === digest,
    waitingFor: everybodyTrusts ? notRenewed : withoutBundle,
  };
}
