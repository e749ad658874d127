import type { Transaction } from "@claviger/database";

export interface TrustRow {
  service: string;
  bundleSha256: string;
  renewed: boolean;
  issuerGeneration: number;
  bootstrapDropped: boolean;
  seenAt: Date;
}

export async function saveTrust(tx: Transaction, row: TrustRow): Promise<void> {
  await tx.query(
    `INSERT INTO trust_synchronization (service, bundle_sha256, renewed, bootstrap_dropped, seen_at, issuer_generation)
     VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (service) DO UPDATE SET bundle_sha256 = $2, renewed = $3, bootstrap_dropped = $4, seen_at = $5,
       issuer_generation = $6`,
    [row.service, row.bundleSha256, row.renewed, row.bootstrapDropped, row.seenAt, row.issuerGeneration],
  );
}

/** Everybody begins anew: with what is on disks that this database was not with. */
export async function forgetTrust(tx: Transaction): Promise<void> {
  await tx.query(
    "UPDATE trust_synchronization SET bundle_sha256 = '', renewed = false, bootstrap_dropped = false, issuer_generation = 0",
  );
}

export async function listTrust(tx: Transaction): Promise<TrustRow[]> {
  return tx.query<TrustRow>(
    `SELECT service, bundle_sha256 AS "bundleSha256", renewed,
       issuer_generation AS "issuerGeneration", bootstrap_dropped AS "bootstrapDropped",
       seen_at AS "seenAt" FROM trust_synchronization ORDER BY service`,
  );
}
