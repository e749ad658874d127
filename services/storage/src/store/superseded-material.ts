import type { Transaction } from "@claviger/database";

/** Where the generation stands in the material envelope (docs/formats.md): bytes 3 to 6. */
const generationOf = "substring(v.material FROM 4 FOR 4)";

export interface MaterialPlace {
  keyId: string;
  key: string;
  version: number;
}

/** Versions of a keyring whose material is not under `newest`, after a place, in order. */
export async function listSupersededMaterial(
  tx: Transaction,
  where: { keyring: string; newest: number; after: { key: string; version: number }; limit: number },
): Promise<MaterialPlace[]> {
  return tx.query<MaterialPlace>(
    `SELECT k.id AS "keyId", k.name AS key, v.version FROM keys k JOIN key_versions v ON v.key_id = k.id
     WHERE k.keyring = $1 AND k.name >= $2 AND (k.name, v.version) > ($2, $3)
       AND v.material IS NOT NULL AND ${generationOf} <> $4
     ORDER BY k.name, v.version LIMIT $5`,
    [where.keyring, where.after.key, where.after.version, generationBytes(where.newest), where.limit],
  );
}

/** How many versions of a keyring are under `generation`. What has no readable generation counts for each. */
export async function countMaterial(tx: Transaction, keyring: string, generation: number): Promise<number> {
  const [row] = await tx.query<{ count: string }>(
    `SELECT count(*) AS count FROM keys k JOIN key_versions v ON v.key_id = k.id
     WHERE k.keyring = $1 AND v.material IS NOT NULL
       AND (${generationOf} = $2 OR length(v.material) < 7)`,
    [keyring, generationBytes(generation)],
  );
  return Number(row?.count ?? 0);
}

function generationBytes(generation: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(generation);
  return bytes;
}
