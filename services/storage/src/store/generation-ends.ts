import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** What may become of a generation, in this order. */
export type GenerationPhase = "ended" | "destroyed";

export interface GenerationEndRow {
  keyring: string;
  generation: number;
  phase: GenerationPhase;
  reachedAt: Date;
}

const columns = `keyring, generation, phase, reached_at AS "reachedAt", seal`;

/** Resolves to false where it had been written before. */
export async function insertGenerationEnd(
  tx: Transaction,
  sealer: RowSealer,
  row: GenerationEndRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO keyring_generation_ends (keyring, generation, phase, reached_at, seal)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.keyring,
      row.generation,
      row.phase,
      row.reachedAt,
      sealer.seal("keyring_generation_ends", { ...row }),
    ],
  );
  return inserted.length === 1;
}

export async function listGenerationEnds(
  tx: Transaction,
  sealer: RowSealer,
  keyring: string,
): Promise<GenerationEndRow[]> {
  const rows = await tx.query<GenerationEndRow & { seal: Buffer }>(
    `SELECT ${columns} FROM keyring_generation_ends WHERE keyring = $1`,
    [keyring],
  );
  return rows.map((row) => open(sealer, row));
}

function open(sealer: RowSealer, { seal, ...row }: GenerationEndRow & { seal: Buffer }): GenerationEndRow {
  const name = `${row.keyring}, generation ${row.generation}, ${row.phase}`;
  sealer.check("keyring_generation_ends", name, { ...row }, seal);
  return row;
}

/** Keyrings with a generation that has a successor and was not destroyed. */
export async function keyringsWithSuperseded(tx: Transaction, limit: number): Promise<string[]> {
  const rows = await tx.query<{ keyring: string }>(
    `SELECT DISTINCT g.keyring FROM keyring_generations g
     WHERE EXISTS (SELECT 1 FROM keyring_generations n
                   WHERE n.keyring = g.keyring AND n.generation > g.generation)
       AND NOT EXISTS (SELECT 1 FROM keyring_generation_ends e
                       WHERE e.keyring = g.keyring AND e.generation = g.generation AND e.phase = 'destroyed')
     ORDER BY g.keyring LIMIT $1`,
    [limit],
  );
  return rows.map(({ keyring }) => keyring);
}

export const sealedGenerationEnds: SealedTable = {
  name: "keyring_generation_ends",
  columns,
  key: [
    { column: "keyring", type: "text" },
    { column: "generation", type: "integer" },
    { column: "phase", type: "text" },
  ],
  revision: (row: GenerationEndRow) => row.reachedAt.getTime(),
  open,
};
