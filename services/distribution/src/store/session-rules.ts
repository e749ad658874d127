import type { Transaction } from "@claviger/database";
import { insertWithdrawal, later, type SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface SessionRuleRow {
  initiator: string;
  peer: string;
  createdBy: string;
  createdAt: Date;
}

type Sealed = SessionRuleRow & { seal: Buffer };

const columns = `initiator, peer, created_by AS "createdBy", created_at AS "createdAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed): SessionRuleRow {
  sealer.check("session_rules", `${row.initiator} → ${row.peer}`, { ...row }, seal);
  return row;
}

/** A rule that is there stays as it is. */
export async function saveRule(
  tx: Transaction,
  sealer: RowSealer,
  row: SessionRuleRow,
): Promise<SessionRuleRow> {
  await tx.query(
    `INSERT INTO session_rules (initiator, peer, created_by, created_at, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [row.initiator, row.peer, row.createdBy, row.createdAt, sealer.seal("session_rules", { ...row })],
  );
  return (await findRule(tx, sealer, [row.initiator], [row.peer])) ?? row;
}

/** The first rule, of those for any of these initiators and any of these peers. */
export async function findRule(
  tx: Transaction,
  sealer: RowSealer,
  initiators: readonly string[],
  peers: readonly string[],
): Promise<SessionRuleRow | undefined> {
  const [row] = await tx.query<Sealed>(
    `SELECT ${columns} FROM session_rules WHERE initiator = ANY($1) AND peer = ANY($2)
     ORDER BY initiator, peer LIMIT 1`,
    [initiators, peers],
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Takes it away, and keeps that Claviger did. */
export async function deleteRule(
  tx: Transaction,
  sealer: RowSealer,
  initiator: string,
  peer: string,
): Promise<boolean> {
  const [gone] = await tx.query<{ createdAt: Date }>(
    `DELETE FROM session_rules WHERE initiator = $1 AND peer = $2 RETURNING created_at AS "createdAt"`,
    [initiator, peer],
  );
  if (gone === undefined) return false;
  const withdrawnAt = later(new Date(), gone.createdAt);
  await insertWithdrawal(tx, sealer, {
    source: "session_rules",
    place: `${initiator}\n${peer}`,
    withdrawnAt,
  });
  return true;
}

export async function listRules(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<SessionRuleRow[]> {
  const [initiator = "", peer = ""] = after.split(" ");
  const rows = await tx.query<Sealed>(
    `SELECT ${columns} FROM session_rules WHERE (initiator, peer) > ($1, $2) ORDER BY initiator, peer LIMIT $3`,
    [initiator, peer, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export const sealedSessionRules: SealedTable = {
  name: "session_rules",
  columns,
  key: [
    { column: "initiator", type: "text" },
    { column: "peer", type: "text" },
  ],
  revision: (row: SessionRuleRow) => row.createdAt.getTime(),
  label: (row: SessionRuleRow) => `${row.initiator} → ${row.peer}`,
  open,
};
