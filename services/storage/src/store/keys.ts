import type { Transaction } from "@claviger/database";
import type { KeyState } from "@claviger/lifecycle";
import type { RowSealer } from "@claviger/row-seal";
import type { KeyName } from "../names.ts";
import { assertState } from "./key-versions.ts";
import { presentFields } from "./present.ts";
import type { SealedTable } from "./sealed-table.ts";

export interface KeyRow {
  id: string;
  keyring: string;
  name: string;
  purpose: string;
  algorithm: string;
  protection: string;
  exportable: boolean;
  state: KeyState;
  currentVersion: number;
  owner: string;
  createdAt: Date;
  rotatedAt: Date;
  rotationPeriodSeconds: number;
  destroyAfterDays: number;
  destroyAt: Date | null;
  activateAt: Date | null;
  expireAt: Date | null;
  /** Empty while it is in the state that it was born with. */
  stateReason: string;
  stateChangedAt: Date | null;
  /** The newest there is; null where that is the current one and never was another. */
  latestVersion: number | null;
  /** What people say of it, encrypted (key-details.ts); null in a row from before, whose owner is in clear. */
  details: Buffer | null;
  /** 1, and one more with each change. */
  revision: number;
}

export type SealedKeyRow = KeyRow & { seal: Buffer };

export const keyColumns = `id, keyring, name, purpose, algorithm, protection, exportable, state,
  current_version AS "currentVersion", owner, created_at AS "createdAt", rotated_at AS "rotatedAt",
  rotation_period_seconds AS "rotationPeriodSeconds", destroy_after_days AS "destroyAfterDays",
  destroy_at AS "destroyAt", activate_at AS "activateAt", expire_at AS "expireAt",
  state_reason AS "stateReason", state_changed_at AS "stateChangedAt", latest_version AS "latestVersion",
  details, revision, seal`;

const addedFields = [
  "activateAt",
  "expireAt",
  "stateReason",
  "stateChangedAt",
  "latestVersion",
  "details",
] as const;

function sealed(row: KeyRow) {
  return { ...presentFields(row, addedFields) };
}

export function openKey(sealer: RowSealer, { seal, ...row }: SealedKeyRow): KeyRow {
  sealer.check("keys", `${row.keyring}/${row.name}`, sealed(row), seal);
  assertState(row.state);
  return row;
}

export async function insertKey(tx: Transaction, sealer: RowSealer, row: KeyRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO keys (id, keyring, name, purpose, algorithm, protection, exportable, state, current_version,
       owner, created_at, rotated_at, rotation_period_seconds, destroy_after_days, destroy_at, activate_at, expire_at,
       state_reason, state_changed_at, latest_version, details, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
     ON CONFLICT (keyring, name) DO NOTHING RETURNING 1`,
    [
      row.id,
      row.keyring,
      row.name,
      row.purpose,
      row.algorithm,
      row.protection,
      row.exportable,
      row.state,
      row.currentVersion,
      row.owner,
      row.createdAt,
      row.rotatedAt,
      row.rotationPeriodSeconds,
      row.destroyAfterDays,
      row.destroyAt,
      row.activateAt,
      row.expireAt,
      row.stateReason,
      row.stateChangedAt,
      row.latestVersion,
      row.details,
      row.revision,
      sealer.seal("keys", sealed(row)),
    ],
  );
  return inserted.length === 1;
}

/** Writes what may change of a key, its next revision, and its new seal. Resolves to the row as it is then. */
export async function updateKey(tx: Transaction, sealer: RowSealer, changed: KeyRow): Promise<KeyRow> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE keys SET state = $2, current_version = $3, rotated_at = $4, rotation_period_seconds = $5,
       destroy_at = $6, activate_at = $7, expire_at = $8, state_reason = $9, state_changed_at = $10,
       latest_version = $11, details = $12, owner = $13, revision = $14, seal = $15 WHERE id = $1`,
    [
      row.id,
      row.state,
      row.currentVersion,
      row.rotatedAt,
      row.rotationPeriodSeconds,
      row.destroyAt,
      row.activateAt,
      row.expireAt,
      row.stateReason,
      row.stateChangedAt,
      row.latestVersion,
      row.details,
      row.owner,
      row.revision,
      sealer.seal("keys", sealed(row)),
    ],
  );
  return row;
}

export async function findKey(
  tx: Transaction,
  sealer: RowSealer,
  name: KeyName,
  lock: "read" | "lock" = "read",
): Promise<KeyRow | undefined> {
  const [row] = await tx.query<SealedKeyRow>(
    `SELECT ${keyColumns} FROM keys WHERE keyring = $1 AND name = $2 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [name.keyring, name.key],
  );
  return row === undefined ? undefined : openKey(sealer, row);
}

/** Those whose owner is in clear still, locked. */
export async function listKeysInClear(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<{ last: string | undefined; rows: KeyRow[] }> {
  const found = await tx.query<SealedKeyRow>(
    `SELECT ${keyColumns} FROM keys WHERE details IS NULL AND id > $1::uuid ORDER BY id LIMIT $2 FOR UPDATE`,
    [after, limit],
  );
  return { last: found.at(-1)?.id, rows: found.flatMap((row) => genuine(sealer, row)) };
}

/** Of the others the scan tells. */
function genuine(sealer: RowSealer, row: SealedKeyRow): KeyRow[] {
  try {
    return [openKey(sealer, row)];
  } catch {
    return [];
  }
}

export const sealedKeys: SealedTable = {
  name: "keys",
  columns: keyColumns,
  key: [{ column: "id", type: "uuid" }],
  changes: true,
  revision: (row: KeyRow) => row.revision,
  label: (row: KeyRow) => `${row.keyring}/${row.name}`,
  open: openKey,
};

export interface IncompleteKey {
  name: string;
  latestVersion: number;
  versions: number;
}

/** Of a page of keys after one of them: those of which not every version is there, and where the page ended. */
export async function listIncompleteKeys(
  tx: Transaction,
  after: string,
  limit: number,
): Promise<{ incomplete: IncompleteKey[]; end: string | undefined }> {
  const rows = await tx.query<IncompleteKey & { id: string }>(
    `SELECT k.id, k.keyring || '/' || k.name AS name, k.latest AS "latestVersion", v.versions::integer AS versions
     FROM (SELECT id, keyring, name, coalesce(latest_version, current_version) AS latest
           FROM keys WHERE id > $1::uuid ORDER BY id LIMIT $2) k
     CROSS JOIN LATERAL (SELECT count(*) AS versions FROM key_versions WHERE key_id = k.id) v
     ORDER BY k.id`,
    [after, limit],
  );
  return {
    incomplete: rows.filter(({ latestVersion, versions }) => versions !== latestVersion),
    end: rows.length < limit ? undefined : rows.at(-1)?.id,
  };
}

/** `keyring/key` by id, as the rows say: they may not be genuine, so that this is for people's eyes alone. */
export async function keyNames(tx: Transaction, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx.query<{ id: string; name: string }>(
    "SELECT id, keyring || '/' || name AS name FROM keys WHERE id = ANY($1)",
    [ids],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}
