import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** The shortest destruction period of a keyring's keys. */
export interface KeyringFloorRow {
  keyring: string;
  /** 0: none any more. */
  destroyAfterDaysMin: number;
  setAt: Date;
  revision: number;
}

type Sealed = KeyringFloorRow & { seal: Buffer };

const columns = `keyring, destroy_after_days_min AS "destroyAfterDaysMin", set_at AS "setAt", revision, seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): KeyringFloorRow {
  sealer.check("keyring_floors", row.keyring, { ...row }, seal);
  return row;
}

/** Undefined where nobody ever set one. */
export async function findKeyringFloor(
  tx: Transaction,
  sealer: RowSealer,
  keyring: string,
): Promise<KeyringFloorRow | undefined> {
  const [row] = await tx.query<Sealed>(`SELECT ${columns} FROM keyring_floors WHERE keyring = $1`, [keyring]);
  return row === undefined ? undefined : open(sealer, row);
}

export async function saveFloor(tx: Transaction, sealer: RowSealer, row: KeyringFloorRow): Promise<void> {
  await tx.query(
    `INSERT INTO keyring_floors (keyring, destroy_after_days_min, set_at, revision, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (keyring) DO UPDATE SET destroy_after_days_min = excluded.destroy_after_days_min,
       set_at = excluded.set_at, revision = excluded.revision, seal = excluded.seal`,
    [
      row.keyring,
      row.destroyAfterDaysMin,
      row.setAt,
      row.revision,
      sealer.seal("keyring_floors", { ...row }),
    ],
  );
}

export const sealedKeyringFloors: SealedTable = {
  name: "keyring_floors",
  columns,
  key: [{ column: "keyring", type: "text" }],
  changes: true,
  revision: (row: KeyringFloorRow) => row.revision,
  open,
};
