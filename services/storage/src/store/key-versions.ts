import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { isKeyState, type KeyState } from "@claviger/lifecycle";
import type { RowSealer } from "@claviger/row-seal";
import { presentFields } from "./present.ts";
import type { SealedTable } from "./sealed-table.ts";

export interface VersionRow {
  keyId: string;
  version: number;
  state: KeyState;
  material: Buffer | null;
  createdAt: Date;
  activateAt: Date | null;
  expireAt: Date | null;
  /** Empty while it is in the state that it was born with. */
  stateReason: string;
  stateChangedAt: Date | null;
  /** 1, and one more with each change. */
  revision: number;
}

type Sealed = VersionRow & { seal: Buffer };

const columns = `key_id AS "keyId", version, state, material, created_at AS "createdAt",
  activate_at AS "activateAt", expire_at AS "expireAt", state_reason AS "stateReason",
  state_changed_at AS "stateChangedAt", revision, seal`;

export function assertState(state: string): void {
  if (!isKeyState(state)) throw new DomainError("integrity", `a row has the unknown state ${state}`);
}

function sealed(row: VersionRow) {
  return { ...presentFields(row, ["activateAt", "expireAt", "stateReason", "stateChangedAt"]) };
}

function open(sealer: RowSealer, { seal, ...row }: Sealed): VersionRow {
  sealer.check("key_versions", `version ${row.version} of key ${row.keyId}`, sealed(row), seal);
  assertState(row.state);
  return row;
}

export async function insertVersion(tx: Transaction, sealer: RowSealer, row: VersionRow): Promise<void> {
  await tx.query(
    `INSERT INTO key_versions (key_id, version, state, material, created_at, activate_at, expire_at, state_reason,
       state_changed_at, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      row.keyId,
      row.version,
      row.state,
      row.material,
      row.createdAt,
      row.activateAt,
      row.expireAt,
      row.stateReason,
      row.stateChangedAt,
      row.revision,
      sealer.seal("key_versions", sealed(row)),
    ],
  );
}

/** Resolves to the row as it is then. */
export async function updateVersion(
  tx: Transaction,
  sealer: RowSealer,
  changed: VersionRow,
): Promise<VersionRow> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    `UPDATE key_versions SET state = $3, material = $4, activate_at = $5, expire_at = $6, state_reason = $7,
       state_changed_at = $8, revision = $9, seal = $10 WHERE key_id = $1 AND version = $2`,
    [
      row.keyId,
      row.version,
      row.state,
      row.material,
      row.activateAt,
      row.expireAt,
      row.stateReason,
      row.stateChangedAt,
      row.revision,
      sealer.seal("key_versions", sealed(row)),
    ],
  );
  return row;
}

export async function findVersion(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  version: number,
): Promise<VersionRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_versions WHERE key_id = $1 AND version = $2`,
    [keyId, version],
  );
  return row === undefined ? undefined : open(sealer, row);
}

export async function listVersions(
  tx: Transaction,
  sealer: RowSealer,
  keyId: string,
  after: number,
  limit: number,
): Promise<VersionRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM key_versions WHERE key_id = $1 AND version > $2 ORDER BY version LIMIT $3`,
    [keyId, after, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedVersions: SealedTable = {
  name: "key_versions",
  columns,
  key: [
    { column: "key_id", type: "uuid" },
    { column: "version", type: "integer" },
  ],
  changes: true,
  revision: (row: VersionRow) => row.revision,
  open,
};
