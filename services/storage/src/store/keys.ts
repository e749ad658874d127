import type { Transaction } from "@claviger/database";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { isKeyState, type KeyState } from "@claviger/lifecycle";
import type { RowSealer } from "@claviger/row-seal";
import type { Reach } from "../access-rules.ts";
import type { KeyName } from "../names.ts";
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
  /** 1, and one more with each change. */
  revision: number;
}

export interface VersionRow {
  keyId: string;
  version: number;
  state: KeyState;
  material: Buffer | null;
  createdAt: Date;
  /** 1, and one more with each change. */
  revision: number;
}

type Sealed<Row> = Row & { seal: Buffer };

const keyColumns = `id, keyring, name, purpose, algorithm, protection, exportable, state,
  current_version AS "currentVersion", owner, created_at AS "createdAt", rotated_at AS "rotatedAt",
  rotation_period_seconds AS "rotationPeriodSeconds", destroy_after_days AS "destroyAfterDays",
  destroy_at AS "destroyAt", revision, seal`;
const versionColumns = `key_id AS "keyId", version, state, material, created_at AS "createdAt", revision, seal`;

function openKey(sealer: RowSealer, { seal, ...row }: Sealed<KeyRow>): KeyRow {
  sealer.check("keys", `${row.keyring}/${row.name}`, { ...row }, seal);
  assertState(row.state);
  return row;
}

function openVersion(sealer: RowSealer, { seal, ...row }: Sealed<VersionRow>): VersionRow {
  sealer.check("key_versions", `version ${row.version} of key ${row.keyId}`, { ...row }, seal);
  assertState(row.state);
  return row;
}

function assertState(state: string): void {
  if (!isKeyState(state)) throw new DomainError("integrity", `a row has the unknown state ${state}`);
}

export async function insertKey(tx: Transaction, sealer: RowSealer, row: KeyRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO keys (id, keyring, name, purpose, algorithm, protection, exportable, state, current_version,
       owner, created_at, rotated_at, rotation_period_seconds, destroy_after_days, destroy_at, revision,
       seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
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
      row.revision,
      sealer.seal("keys", { ...row }),
    ],
  );
  return inserted.length === 1;
}

/** Writes what may change of a key, its next revision, and its new seal. */
export async function updateKey(tx: Transaction, sealer: RowSealer, changed: KeyRow): Promise<void> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE keys SET state = $2, current_version = $3, rotated_at = $4, rotation_period_seconds = $5,
       destroy_at = $6, revision = $7, seal = $8 WHERE id = $1`,
    [
      row.id,
      row.state,
      row.currentVersion,
      row.rotatedAt,
      row.rotationPeriodSeconds,
      row.destroyAt,
      row.revision,
      sealer.seal("keys", { ...row }),
    ],
  );
}

export async function findKey(
  tx: Transaction,
  sealer: RowSealer,
  name: KeyName,
  lock: "read" | "lock" = "read",
): Promise<KeyRow | undefined> {
  const [row] = await tx.query<Sealed<KeyRow>>(
    `SELECT ${keyColumns} FROM keys WHERE keyring = $1 AND name = $2 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [name.keyring, name.key],
  );
  return row === undefined ? undefined : openKey(sealer, row);
}

export async function listKeys(
  tx: Transaction,
  sealer: RowSealer,
  filter: { reach: Reach; keyring: string; after: KeyName; limit: number },
): Promise<KeyRow[]> {
  const { after, keyring, limit, reach } = filter;
  const only = reach === "everything" ? [null, null] : [reach.keyrings, reach.keys];
  const rows = await tx.query<Sealed<KeyRow>>(
    `SELECT ${keyColumns} FROM keys
     WHERE ($1 = '' OR keyring = $1) AND (keyring, name) > ($2, $3)
       AND ($5::text[] IS NULL OR keyring = ANY($5) OR keyring || '/' || name = ANY($6))
     ORDER BY keyring, name LIMIT $4`,
    [keyring, after.keyring, after.key, limit, ...only],
  );
  return rows.map((row) => openKey(sealer, row));
}

/** How many due rows are looked at for one that is genuine: a row that was tampered with must not hold up others. */
const dueRowsMax = 200;

/** A key whose destruction period has ended, locked; another replica's, and rows whose seal fails, are skipped. */
export async function lockKeyToPurge(
  tx: Transaction,
  sealer: RowSealer,
  now: Date,
): Promise<KeyRow | undefined> {
  const rows = await tx.query<Sealed<KeyRow>>(
    `SELECT ${keyColumns} FROM keys WHERE destroy_at <= $1 AND state <> 'destroyed'
     ORDER BY destroy_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
    [now, dueRowsMax],
  );
  for (const row of rows) {
    try {
      return openKey(sealer, row);
    } catch (error) {
      if (!isDomainError(error, "integrity")) throw error;
    }
  }
  return undefined;
}

export async function insertVersion(tx: Transaction, sealer: RowSealer, row: VersionRow): Promise<void> {
  await tx.query(
    `INSERT INTO key_versions (key_id, version, state, material, created_at, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      row.keyId,
      row.version,
      row.state,
      row.material,
      row.createdAt,
      row.revision,
      sealer.seal("key_versions", { ...row }),
    ],
  );
}

export async function updateVersion(tx: Transaction, sealer: RowSealer, changed: VersionRow): Promise<void> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    "UPDATE key_versions SET state = $3, material = $4, revision = $5, seal = $6 WHERE key_id = $1 AND version = $2",
    [row.keyId, row.version, row.state, row.material, row.revision, sealer.seal("key_versions", { ...row })],
  );
}

export async function findVersion(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  version: number,
): Promise<VersionRow | undefined> {
  const [row] = await tx.query<Sealed<VersionRow>>(
    `SELECT ${versionColumns} FROM key_versions WHERE key_id = $1 AND version = $2`,
    [keyId, version],
  );
  return row === undefined ? undefined : openVersion(sealer, row);
}

export async function listVersions(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  after: number,
  limit: number,
): Promise<VersionRow[]> {
  const rows = await tx.query<Sealed<VersionRow>>(
    `SELECT ${versionColumns} FROM key_versions WHERE key_id = $1 AND version > $2 ORDER BY version LIMIT $3`,
    [keyId, after, limit],
  );
  return rows.map((row) => openVersion(sealer, row));
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

export const sealedVersions: SealedTable = {
  name: "key_versions",
  columns: versionColumns,
  key: [
    { column: "key_id", type: "uuid" },
    { column: "version", type: "integer" },
  ],
  changes: true,
  revision: (row: VersionRow) => row.revision,
  open: openVersion,
};

/** Keys of which not every version up to the current one is there. */
export async function listIncompleteKeys(
  tx: Transaction,
  limit: number,
): Promise<{ name: string; currentVersion: number; versions: number }[]> {
  return tx.query(
    `SELECT k.keyring || '/' || k.name AS name, k.current_version AS "currentVersion", v.versions::integer AS versions
     FROM keys k CROSS JOIN LATERAL (SELECT count(*) AS versions FROM key_versions WHERE key_id = k.id) v
     WHERE v.versions <> k.current_version ORDER BY 1 LIMIT $1`,
    [limit],
  );
}

/** `keyring/key` by id, as the rows say: they may not be genuine, so that this is for people's eyes alone. */
export async function keyNames(tx: Transaction, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await tx.query<{ id: string; name: string }>(
    "SELECT id, keyring || '/' || name AS name FROM keys WHERE id = ANY($1)",
    [ids],
  );
  return new Map(rows.map(({ id, name }) => [id, name]));
}
