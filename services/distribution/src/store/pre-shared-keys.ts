import type { Transaction } from "@claviger/database";
import { insertWithdrawal, type SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface PreSharedKeyRow {
  name: string;
  partyA: string;
  partyB: string;
  overlapSeconds: number;
  createdBy: string;
  createdAt: Date;
}

export interface PreSharedKeyGenerationRow {
  name: string;
  generation: number;
  createdAt: Date;
  signerVersion: number;
  ticketA: string | null;
  ticketB: string | null;
  acknowledgedAAt: Date | null;
  acknowledgedBAt: Date | null;
  revision: number;
}

type Sealed<Row> = Row & { seal: Buffer };

const keyColumns = `name, party_a AS "partyA", party_b AS "partyB", overlap_seconds AS "overlapSeconds",
  created_by AS "createdBy", created_at AS "createdAt", seal`;
const generationColumns = `name, generation, created_at AS "createdAt", signer_version AS "signerVersion",
  ticket_a AS "ticketA", ticket_b AS "ticketB", acknowledged_a_at AS "acknowledgedAAt",
  acknowledged_b_at AS "acknowledgedBAt", revision, seal`;

function openKey(sealer: RowSealer, { seal, ...row }: Sealed<PreSharedKeyRow>): PreSharedKeyRow {
  sealer.check("pre_shared_keys", row.name, { ...row }, seal);
  return row;
}

function openGeneration(
  sealer: RowSealer,
  { seal, ...row }: Sealed<PreSharedKeyGenerationRow>,
): PreSharedKeyGenerationRow {
  sealer.check("pre_shared_key_generations", `${row.name}@${row.generation}`, { ...row }, seal);
  return row;
}

export async function findPreSharedKey(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  lock: "read" | "share" = "read",
): Promise<PreSharedKeyRow | undefined> {
  const [row] = await tx.query<Sealed<PreSharedKeyRow>>(
    `SELECT ${keyColumns} FROM pre_shared_keys WHERE name = $1 ${lock === "share" ? "FOR SHARE" : ""}`,
    [name],
  );
  return row === undefined ? undefined : openKey(sealer, row);
}

export async function insertPreSharedKey(
  tx: Transaction,
  sealer: RowSealer,
  row: PreSharedKeyRow,
): Promise<boolean> {
  const made = await tx.query(
    `INSERT INTO pre_shared_keys (name, party_a, party_b, overlap_seconds, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.name,
      row.partyA,
      row.partyB,
      row.overlapSeconds,
      row.createdBy,
      row.createdAt,
      sealer.seal("pre_shared_keys", { ...row }),
    ],
  );
  return made.length > 0;
}

export async function listPreSharedKeys(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<PreSharedKeyRow[]> {
  const rows = await tx.query<Sealed<PreSharedKeyRow>>(
    `SELECT ${keyColumns} FROM pre_shared_keys WHERE name > $1 ORDER BY name LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => openKey(sealer, row));
}

/** Oldest first. Locked, where something about them is to change. */
export async function generationsOf(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  lock: "read" | "lock" = "read",
): Promise<PreSharedKeyGenerationRow[]> {
  const rows = await tx.query<Sealed<PreSharedKeyGenerationRow>>(
    `SELECT ${generationColumns} FROM pre_shared_key_generations WHERE name = $1 ORDER BY generation
     ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [name],
  );
  return rows.map((row) => openGeneration(sealer, row));
}

/** False where another has made this generation meanwhile. */
export async function insertGeneration(
  tx: Transaction,
  sealer: RowSealer,
  row: PreSharedKeyGenerationRow,
): Promise<boolean> {
  const made = await tx.query(
    `INSERT INTO pre_shared_key_generations (name, generation, created_at, signer_version, ticket_a, ticket_b,
       acknowledged_a_at, acknowledged_b_at, revision, seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.name,
      row.generation,
      row.createdAt,
      row.signerVersion,
      row.ticketA,
      row.ticketB,
      row.acknowledgedAAt,
      row.acknowledgedBAt,
      row.revision,
      sealer.seal("pre_shared_key_generations", { ...row }),
    ],
  );
  return made.length > 0;
}

export async function updateGeneration(
  tx: Transaction,
  sealer: RowSealer,
  row: PreSharedKeyGenerationRow,
): Promise<void> {
  await tx.query(
    `UPDATE pre_shared_key_generations SET ticket_a = $3, ticket_b = $4, acknowledged_a_at = $5,
       acknowledged_b_at = $6, revision = $7, seal = $8 WHERE name = $1 AND generation = $2`,
    [
      row.name,
      row.generation,
      row.ticketA,
      row.ticketB,
      row.acknowledgedAAt,
      row.acknowledgedBAt,
      row.revision,
      sealer.seal("pre_shared_key_generations", { ...row }),
    ],
  );
}

/** Takes them away, and keeps that Claviger did. */
export async function deleteGenerationsBefore(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
  generation: number,
): Promise<void> {
  const gone = await tx.query<{ generation: number }>(
    "DELETE FROM pre_shared_key_generations WHERE name = $1 AND generation < $2 RETURNING generation",
    [name, generation],
  );
  for (const one of gone) {
    const place = `${name}\n${one.generation}`;
    await insertWithdrawal(tx, sealer, {
      source: "pre_shared_key_generations",
      place,
      withdrawnAt: new Date(),
    });
  }
}

export const sealedPreSharedKeys: SealedTable = {
  name: "pre_shared_keys",
  columns: keyColumns,
  key: [{ column: "name", type: "text" }],
  revision: (row: PreSharedKeyRow) => row.createdAt.getTime(),
  open: openKey,
};

export const sealedPreSharedKeyGenerations: SealedTable = {
  name: "pre_shared_key_generations",
  columns: generationColumns,
  key: [
    { column: "name", type: "text" },
    { column: "generation", type: "integer" },
  ],
  changes: true,
  revision: (row: PreSharedKeyGenerationRow) => row.revision,
  label: (row: PreSharedKeyGenerationRow) => `${row.name}@${row.generation}`,
  open: openGeneration,
};
