import type { Transaction } from "@claviger/database";

export async function saveFollower(
  tx: Transaction,
  row: { identity: string; bundleSha256: string; seenAt: Date },
): Promise<void> {
  await tx.query(
    `INSERT INTO bundle_followers (identity, bundle_sha256, seen_at) VALUES ($1, $2, $3)
     ON CONFLICT (identity) DO UPDATE SET bundle_sha256 = $2, seen_at = $3`,
    [row.identity, row.bundleSha256, row.seenAt],
  );
}

/** Identities with a live certificate that have not said to trust this bundle; those first that said something once. */
export async function listWithoutBundle(
  tx: Transaction,
  of: { bundleSha256: string; now: Date; limit: number },
): Promise<{ count: number; following: number; identities: string[] }> {
  const from = `FROM (SELECT DISTINCT identity FROM certificates
      WHERE identity IS NOT NULL AND profile <> 'service' AND not_after > $1 AND revoked_at IS NULL) c
    LEFT JOIN bundle_followers f USING (identity) WHERE f.bundle_sha256 IS DISTINCT FROM $2`;
  const [totals] = await tx.query<{ count: string; following: string }>(
    `SELECT count(*) AS count, count(f.identity) AS following ${from}`,
    [of.now, of.bundleSha256],
  );
  const rows = await tx.query<{ identity: string }>(
    `SELECT identity ${from} ORDER BY f.seen_at DESC NULLS LAST, identity LIMIT $3`,
    [of.now, of.bundleSha256, of.limit],
  );
  return {
    count: Number(totals?.count ?? 0),
    following: Number(totals?.following ?? 0),
    identities: rows.map(({ identity }) => identity),
  };
}
