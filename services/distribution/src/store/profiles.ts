import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

export interface ProfileRow {
  name: string;
  authority: string;
  /** These three comma-separated, as they are sealed. */
  keyTypes: string;
  extendedKeyUsage: string;
  nameKinds: string;
  lifetimeSecondsDefault: number;
  lifetimeSecondsMax: number;
  createdBy: string;
  createdAt: Date;
}

type Sealed = ProfileRow & { seal: Buffer };

const columns = `name, authority, key_types AS "keyTypes", extended_key_usage AS "extendedKeyUsage",
  name_kinds AS "nameKinds", lifetime_seconds_default AS "lifetimeSecondsDefault",
  lifetime_seconds_max AS "lifetimeSecondsMax", created_by AS "createdBy", created_at AS "createdAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): ProfileRow {
  sealer.check("profiles", `profile ${row.name}`, { ...row }, seal);
  return row;
}

/** Resolves to whether there was none of this name. */
export async function insertProfile(tx: Transaction, sealer: RowSealer, row: ProfileRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO profiles (name, authority, key_types, extended_key_usage, name_kinds, lifetime_seconds_default,
       lifetime_seconds_max, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.name,
      row.authority,
      row.keyTypes,
      row.extendedKeyUsage,
      row.nameKinds,
      row.lifetimeSecondsDefault,
      row.lifetimeSecondsMax,
      row.createdBy,
      row.createdAt,
      sealer.seal("profiles", { ...row }),
    ],
  );
  return inserted.length > 0;
}

export async function findProfile(
  tx: Transaction,
  sealer: RowSealer,
  name: string,
): Promise<ProfileRow | undefined> {
  const [row] = await tx.query<Sealed>(`SELECT ${columns} FROM profiles WHERE name = $1`, [name]);
  return row && open(sealer, row);
}

export async function listProfiles(tx: Transaction, sealer: RowSealer): Promise<ProfileRow[]> {
  const rows = await tx.query<Sealed>(`SELECT ${columns} FROM profiles ORDER BY name`);
  return rows.map((row) => open(sealer, row));
}

/** Resolves to whether it was there. */
export async function deleteProfile(tx: Transaction, name: string): Promise<boolean> {
  return (await tx.query("DELETE FROM profiles WHERE name = $1 RETURNING 1", [name])).length > 0;
}
