import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { RevocationReason } from "@claviger/x509";

export interface RevokedKeyRow {
  publicKeySha256: Buffer;
  reason: RevocationReason;
  revokedAt: Date;
}

export async function insertRevokedKey(
  tx: Transaction,
  sealer: RowSealer,
  row: RevokedKeyRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO revoked_keys (public_key_sha256, reason, revoked_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT DO NOTHING`,
    [row.publicKeySha256, row.reason, row.revokedAt, sealer.seal("revoked_keys", { ...row })],
  );
}

export async function findRevokedKey(
  tx: Transaction,
  sealer: RowSealer,
  publicKeySha256: Buffer,
): Promise<RevokedKeyRow | undefined> {
  const [found] = await tx.query<RevokedKeyRow & { seal: Buffer }>(
    `SELECT public_key_sha256 AS "publicKeySha256", reason, revoked_at AS "revokedAt", seal
     FROM revoked_keys WHERE public_key_sha256 = $1`,
    [publicKeySha256],
  );
  if (found === undefined) return undefined;
  const { seal, ...row } = found;
  sealer.check("revoked_keys", `key ${publicKeySha256.toString("hex")}`, { ...row }, seal);
  return row;
}
