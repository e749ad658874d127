import type { Transaction } from "@claviger/database";

/** Resolves to false where such material is registered already, whichever key has it. */
export async function insertMaterialDigest(
  tx: Transaction,
  row: { digest: Buffer; keyId: string; version: number },
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO material_digests (digest, key_id, version) VALUES ($1, $2, $3)
     ON CONFLICT (digest) DO NOTHING RETURNING 1`,
    [row.digest, row.keyId, row.version],
  );
  return inserted.length === 1;
}
