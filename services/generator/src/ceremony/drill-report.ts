import { timingSafeEqual } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import { DomainError } from "@claviger/domain-error";

/**
 * What a drill found (docs/formats.md). The program that tried the backup makes it, and the key that binds material,
 * which came out of the backup, vouches for it: whoever has not opened a backup of the installation has none.
 */
export interface DrillReport {
  v: 1;
  kind: "drill-report";
  drill: string;
  backup: string;
  madeAt: string;
  manifestSha256: string;
  recoveryKey: string;
  begunAt: string;
  endedAt: string;
  /** Of all tables, as they were filled again. */
  rows: number;
  keyringKeys: number;
  /** Versions whose material was found to be what the HSM had bound to them: all that have any. */
  bound: number;
  proofs: DrillProof[];
  /** Rows of each service whose seal was checked with the seal key that the backup brought. */
  seals: { service: string; rows: number; findings: number }[];
  /** The first of them. */
  failures: { of: string; what: string }[];
  failed: number;
  /** The scratch token's product and firmware. */
  module: string;
}

/** Keys that are alike, and how it was proved that they work. */
export interface DrillProof {
  algorithm: string;
  protection: string;
  /** With material. */
  versions: number;
  /** Of these, so many were used. */
  used: number;
  by: Proof;
}

/**
 * `public-key`: what one half protected, the other processed, with the public half that was stored when the key was
 * made. `digest`: the secret is the one that the HSM saw when the key was made, and it undid what it did. `binding`:
 * the wrapped bytes are those of when the key was made, they opened, and the key undid what it did in the HSM; the
 * secret itself nobody may look at. `none-secret`: there is a public half alone, and it is what was bound.
 */
export type Proof = "public-key" | "digest" | "binding" | "none-secret";

const domain = Buffer.from("claviger/drill/v1\0", "utf8");
const reportBytesMax = 64 * 1024;

type Mac = (data: Uint8Array) => Promise<Buffer> | Buffer;

export async function sealDrillReport(
  report: DrillReport,
  mac: Mac,
): Promise<{ report: Buffer; mac: Buffer }> {
  const bytes = Buffer.from(canonicalJson({ ...report }), "utf8");
  return { report: bytes, mac: Buffer.from(await mac(Buffer.concat([domain, bytes]))) };
}

/** @throws DomainError `failed-precondition` where the binding key did not vouch for it */
export async function readDrillReport(
  bytes: Uint8Array,
  claimed: Uint8Array,
  mac: Mac,
): Promise<DrillReport> {
  if (bytes.length > reportBytesMax) throw new DomainError("invalid-argument", "a drill's report is shorter");
  const expected = await mac(Buffer.concat([domain, bytes]));
  if (claimed.length !== expected.length || !timingSafeEqual(claimed, expected)) {
    throw new DomainError(
      "failed-precondition",
      "no backup of this installation vouches for that drill's report",
      { hint: "try a backup where it was made, or restore it into an installation of its own" },
    );
  }
  const report = JSON.parse(Buffer.from(bytes).toString("utf8")) as DrillReport;
  if (report.v === 1 && report.kind === "drill-report") return report;
  throw new DomainError("failed-precondition", "that is no drill's report");
}

export function drillOutcome({ failed, failures, proofs, seals }: DrillReport): {
  outcome: "proved" | "failed";
  reason: string;
} {
  const unproved = proofs.filter(({ used, versions }) => used === 0 && versions > 0);
  const changed = seals.reduce((sum, { findings }) => sum + findings, 0);
  if (failed === 0 && unproved.length === 0 && changed === 0) return { outcome: "proved", reason: "" };
  const [first] = failures;
  const what = first === undefined ? "" : `: ${first.of}: ${first.what}`;
  return {
    outcome: "failed",
    reason: `${failed + changed} of its keys and rows failed${what}`.slice(0, 500),
  };
}
