import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { Reach } from "../access-rules.ts";
import type { SealedTable } from "./sealed-table.ts";

export interface KeyringRow {
  name: string;
  createdAt: Date;
  createdBy: string;
}

export interface GenerationRow {
  keyring: string;
  generation: number;
  tokenObjectId: string;
  recoveryWrap: Buffer;
  /** Names the recovery key that the wrap is for. */
  recoveryKey: string;
  createdAt: Date;
  /** 1, and one more with each change. */
  revision: number;
}

type Sealed<Row> = Row & { seal: Buffer };

const keyringColumns = `name, created_at AS "createdAt", created_by AS "createdBy", seal`;
const generationColumns = `keyring, generation, token_object_id AS "tokenObjectId",
  recovery_wrap AS "recoveryWrap", recovery_key AS "recoveryKey", created_at AS "createdAt", revision, seal`;

export async function insertKeyring(tx: Transaction, sealer: RowSealer, row: KeyringRow): Promise<void> {
  await tx.query("INSERT INTO keyrings (name, created_at, created_by, seal) VALUES ($1, $2, $3, $4)", [
    row.name,
    row.createdAt,
    row.createdBy,
    sealer.seal("keyrings", { ...row }),
  ]);
}

export async function insertGeneration(
  tx: Transaction,
  sealer: RowSealer,
  row: GenerationRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO keyring_generations (keyring, generation, token_object_id, recovery_wrap, recovery_key, created_at,
       revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      row.keyring,
      row.generation,
      row.tokenObjectId,
      row.recoveryWrap,
      row.recoveryKey,
      row.createdAt,
      row.revision,
      sealer.seal("keyring_generations", { ...row }),
    ],
  );
}

export async function findKeyring(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
): Promise<KeyringRow | undefined> {
  const [row] = await tx.query<Sealed<KeyringRow>>(`SELECT ${keyringColumns} FROM keyrings WHERE name = $1`, [
    name,
  ]);
  return row === undefined ? undefined : openKeyring(sealer, row);
}

/** Until the transaction ends: `shared` with whoever adds material, or `alone`, to change its generations. */
export async function lockKeyring(tx: Transaction, name: string, how: "shared" | "alone"): Promise<void> {
  await tx.query(`SELECT 1 FROM keyrings WHERE name = $1 ${how === "alone" ? "FOR UPDATE" : "FOR SHARE"}`, [
    name,
  ]);
}

export async function listKeyrings(
  tx: Transaction,
  sealer: RowSealer,
  filter: { reach: Reach; after: string; limit: number },
): Promise<KeyringRow[]> {
  const { after, limit, reach } = filter;
  const rows = await tx.query<Sealed<KeyringRow>>(
    `SELECT ${keyringColumns} FROM keyrings WHERE name > $1 AND ($3::text[] IS NULL OR name = ANY($3))
     ORDER BY name LIMIT $2`,
    [after, limit, reach === "everything" ? null : reach.keyrings],
  );
  return rows.map((row) => openKeyring(sealer, row));
}

export async function listGenerations(
  tx: Transaction,
  sealer: RowSealer,
  keyring: string,
): Promise<GenerationRow[]> {
  const rows = await tx.query<Sealed<GenerationRow>>(
    `SELECT ${generationColumns} FROM keyring_generations WHERE keyring = $1 ORDER BY generation`,
    [keyring],
  );
  return rows.map((row) => openGeneration(sealer, row));
}

/** Locked until the transaction ends. */
export async function findGeneration(
  tx: Transaction,
  sealer: RowSealer,
  { generation, keyring }: { keyring: string; generation: number },
): Promise<GenerationRow | undefined> {
  const [row] = await tx.query<Sealed<GenerationRow>>(
    `SELECT ${generationColumns} FROM keyring_generations WHERE keyring = $1 AND generation = $2 FOR UPDATE`,
    [keyring, generation],
  );
  return row === undefined ? undefined : openGeneration(sealer, row);
}

/** Of those that have not ended: what ended is not wrapped for anybody again. */
export async function listForeignWraps(
  tx: Transaction,
  sealer: RowSealer,
  recoveryKey: string,
  limit: number,
): Promise<GenerationRow[]> {
  const rows = await tx.query<Sealed<GenerationRow>>(
    `SELECT ${generationColumns} FROM keyring_generations g
     WHERE recovery_key <> $1 AND NOT EXISTS (SELECT 1 FROM keyring_generation_ends e
                       WHERE e.keyring = g.keyring AND e.generation = g.generation)
     ORDER BY keyring, generation LIMIT $2`,
    [recoveryKey, limit],
  );
  return rows.map((row) => openGeneration(sealer, row));
}

export async function updateRecoveryWrap(
  tx: Transaction,
  sealer: RowSealer,
  changed: GenerationRow,
): Promise<void> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE keyring_generations SET recovery_wrap = $3, recovery_key = $4, revision = $5, seal = $6
     WHERE keyring = $1 AND generation = $2`,
    [
      row.keyring,
      row.generation,
      row.recoveryWrap,
      row.recoveryKey,
      row.revision,
      sealer.seal("keyring_generations", { ...row }),
    ],
  );
}

function openGeneration(sealer: RowSealer, { seal, ...row }: Sealed<GenerationRow>): GenerationRow {
  sealer.check("keyring_generations", `${row.keyring}, generation ${row.generation}`, { ...row }, seal);
  return row;
}

function openKeyring(sealer: RowSealer, { seal, ...row }: Sealed<KeyringRow>): KeyringRow {
  sealer.check("keyrings", row.name, { ...row }, seal);
  return row;
}

export const sealedKeyrings: SealedTable = {
  name: "keyrings",
  columns: keyringColumns,
  key: [{ column: "name", type: "text" }],
  revision: (row: KeyringRow) => row.createdAt.getTime(),
  open: openKeyring,
};

export const sealedGenerations: SealedTable = {
  name: "keyring_generations",
  columns: generationColumns,
  key: [
    { column: "keyring", type: "text" },
    { column: "generation", type: "integer" },
  ],
  changes: true,
  revision: (row: GenerationRow) => row.revision,
  open: openGeneration,
};
