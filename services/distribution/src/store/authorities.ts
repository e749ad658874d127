import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export const authorityNames = ["root", "issuing"] as const;
export type AuthorityName = (typeof authorityNames)[number];

export interface AuthorityRow {
  name: AuthorityName;
  generation: number;
  keyName: string;
  keyVersion: number;
  /** DER. */
  certificate: Buffer;
  createdAt: Date;
}

const columns = `name, generation, key_name AS "keyName", key_version AS "keyVersion", certificate,
  created_at AS "createdAt", seal`;

/** Where two replicas make the same generation at once, the first one's stays. */
export async function insertAuthority(tx: Transaction, sealer: RowSealer, row: AuthorityRow): Promise<void> {
  await tx.query(
    `INSERT INTO authorities (name, generation, key_name, key_version, certificate, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
    [
      row.name,
      row.generation,
      row.keyName,
      row.keyVersion,
      row.certificate,
      row.createdAt,
      sealer.seal("authorities", { ...row }),
    ],
  );
}

export async function findAuthority(
  tx: Transaction,
  sealer: RowSealer,
  name: AuthorityName,
): Promise<AuthorityRow | undefined> {
  const [found] = await tx.query<AuthorityRow & { seal: Buffer }>(
    `SELECT ${columns} FROM authorities WHERE name = $1 ORDER BY generation DESC LIMIT 1`,
    [name],
  );
  return found === undefined ? undefined : open(sealer, found);
}

function open(sealer: RowSealer, { seal, ...row }: AuthorityRow & { seal: Buffer }): AuthorityRow {
  sealer.check("authorities", `the ${row.name} CA`, { ...row }, seal);
  return row;
}

export const sealedAuthorities: SealedTable = {
  name: "authorities",
  columns,
  key: [
    { column: "name", type: "text" },
    { column: "generation", type: "integer" },
  ],
  revision: (row: AuthorityRow) => row.createdAt.getTime(),
  label: (row: AuthorityRow) => `the ${row.name} CA, generation ${row.generation}`,
  open,
};
