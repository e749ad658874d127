import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

export type NameKind = "dns" | "ip" | "uri" | "email";

export interface NameRuleRow {
  id: string;
  profile: string;
  identity: string;
  kind: NameKind;
  pattern: string;
  createdBy: string;
  createdAt: Date;
}

type Sealed = NameRuleRow & { seal: Buffer };

const columns = `id, profile, identity, kind, pattern, created_by AS "createdBy", created_at AS "createdAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): NameRuleRow {
  sealer.check("name_rules", `name rule ${row.id}`, { ...row }, seal);
  return row;
}

/** The rule that is there already, where there is one like it. */
export async function insertNameRule(
  tx: Transaction,
  sealer: RowSealer,
  row: NameRuleRow,
): Promise<NameRuleRow> {
  await tx.query(
    `INSERT INTO name_rules (id, profile, identity, kind, pattern, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (profile, identity, kind, pattern) DO NOTHING`,
    [
      row.id,
      row.profile,
      row.identity,
      row.kind,
      row.pattern,
      row.createdBy,
      row.createdAt,
      sealer.seal("name_rules", { ...row }),
    ],
  );
  const [kept] = await tx.query<Sealed>(
    `SELECT ${columns} FROM name_rules WHERE profile = $1 AND identity = $2 AND kind = $3 AND pattern = $4`,
    [row.profile, row.identity, row.kind, row.pattern],
  );
  return kept === undefined ? row : open(sealer, kept);
}

export async function listNameRules(
  tx: Transaction,
  sealer: RowSealer,
  profile = "",
): Promise<NameRuleRow[]> {
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM name_rules WHERE $1 = '' OR profile = $1 ORDER BY profile, identity, kind, pattern`,
    [profile],
  );
  return rows.map((row) => open(sealer, row));
}

export async function countNameRules(tx: Transaction): Promise<number> {
  const [row] = await tx.query<{ count: string }>("SELECT count(*) AS count FROM name_rules");
  return Number(row?.count ?? 0);
}

/** Resolves to whether it was there. */
export async function deleteNameRule(tx: Transaction, id: string): Promise<boolean> {
  return (await tx.query("DELETE FROM name_rules WHERE id = $1 RETURNING 1", [id])).length > 0;
}
