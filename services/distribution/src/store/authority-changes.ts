import type { Transaction } from "@claviger/database";

interface Of {
  authority: string;
  generation: number;
}

/** One more certificate of this CA was revoked, held or released. */
export async function countChange(tx: Transaction, { authority, generation }: Of): Promise<void> {
  await tx.query(
    `INSERT INTO authority_changes AS c (authority, authority_generation, changes) VALUES ($1, $2, 1)
     ON CONFLICT (authority, authority_generation) DO UPDATE SET changes = c.changes + 1`,
    [authority, generation],
  );
}

export async function changesOf(tx: Transaction, { authority, generation }: Of): Promise<number> {
  const [row] = await tx.query<{ changes: string }>(
    "SELECT changes FROM authority_changes WHERE authority = $1 AND authority_generation = $2",
    [authority, generation],
  );
  return Number(row?.changes ?? 0);
}
