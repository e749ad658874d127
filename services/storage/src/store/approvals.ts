import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

export interface ApprovalRow {
  id: string;
  requester: string;
  method: string;
  permission: string;
  resource: string;
  requestHash: Buffer;
  /** JSON, for people. */
  request: string;
  required: number;
  groupName: string;
  createdAt: Date;
  expiresAt: Date;
  executedAt: Date | null;
  /** The request_id that used it up; empty before, and where the request had none. */
  executedBy: string;
  revision: number;
}

export interface VoteRow {
  approvalId: string;
  identity: string;
  approved: boolean;
  signature: Buffer;
  /** DER, of the certificate whose key signed. */
  certificate: Buffer;
  votedAt: Date;
}

type Sealed<Row> = Row & { seal: Buffer };

const columns = `id, requester, method, permission, resource, request_hash AS "requestHash", request, required,
  group_name AS "groupName", created_at AS "createdAt", expires_at AS "expiresAt", executed_at AS "executedAt",
  executed_by AS "executedBy", revision, seal`;
const voteColumns = `approval_id AS "approvalId", identity, approved, signature, certificate,
  voted_at AS "votedAt", seal`;

function open(sealer: RowSealer, { seal, ...row }: Sealed<ApprovalRow>): ApprovalRow {
  sealer.check("approvals", `approval ${row.id}`, { ...row }, seal);
  return row;
}

function openVote(sealer: RowSealer, { seal, ...row }: Sealed<VoteRow>): VoteRow {
  sealer.check("approval_votes", `the vote of ${row.identity} on ${row.approvalId}`, { ...row }, seal);
  return row;
}

export async function insertApproval(tx: Transaction, sealer: RowSealer, row: ApprovalRow): Promise<void> {
  await tx.query(
    `INSERT INTO approvals (id, requester, method, permission, resource, request_hash, request, required,
       group_name, created_at, expires_at, executed_at, executed_by, revision, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      row.id,
      row.requester,
      row.method,
      row.permission,
      row.resource,
      row.requestHash,
      row.request,
      row.required,
      row.groupName,
      row.createdAt,
      row.expiresAt,
      row.executedAt,
      row.executedBy,
      row.revision,
      sealer.seal("approvals", { ...row }),
    ],
  );
}

export async function updateApproval(
  tx: Transaction,
  sealer: RowSealer,
  changed: ApprovalRow,
): Promise<void> {
  const row = { ...changed, revision: changed.revision + 1 };
  await tx.query(
    "UPDATE approvals SET executed_at = $2, executed_by = $3, revision = $4, seal = $5 WHERE id = $1",
    [row.id, row.executedAt, row.executedBy, row.revision, sealer.seal("approvals", { ...row })],
  );
}

/** Locked until the transaction ends. */
export async function lockApproval(
  tx: Transaction,
  sealer: RowSealer,
  id: string,
): Promise<ApprovalRow | undefined> {
  const [row] = await tx.query<Sealed<ApprovalRow>>(
    `SELECT ${columns} FROM approvals WHERE id = $1 FOR UPDATE`,
    [id],
  );
  return row === undefined ? undefined : open(sealer, row);
}

/** Of the same request of the same requester, the newest first, locked. */
export async function lockApprovalsOf(
  tx: Transaction,
  sealer: RowSealer,
  request: { requester: string; requestHash: Buffer },
  limit: number,
): Promise<ApprovalRow[]> {
  const rows = await tx.query<Sealed<ApprovalRow>>(
    `SELECT ${columns} FROM approvals WHERE requester = $1 AND request_hash = $2
     ORDER BY created_at DESC LIMIT $3 FOR UPDATE`,
    [request.requester, request.requestHash, limit],
  );
  return rows.map((row) => open(sealer, row));
}

export async function countWaiting(tx: Transaction, requester: string, now: Date): Promise<number> {
  const rows = await tx.query(
    "SELECT 1 FROM approvals WHERE requester = $1 AND executed_at IS NULL AND expires_at > $2 LIMIT 1000",
    [requester, now],
  );
  return rows.length;
}

/** The newest first; of everybody, or one requester's and those that wait for these groups. */
export async function listApprovals(
  tx: Transaction,
  sealer: RowSealer,
  reach: { everybody: boolean; requester: string; groups: readonly string[] },
  limit: number,
): Promise<ApprovalRow[]> {
  const rows = await tx.query<Sealed<ApprovalRow>>(
    `SELECT ${columns} FROM approvals WHERE $1 OR requester = $2 OR group_name = ANY($3)
     ORDER BY created_at DESC, id LIMIT $4`,
    [reach.everybody, reach.requester, reach.groups, limit],
  );
  return rows.map((row) => open(sealer, row));
}

/** Resolves to false where that identity has voted. */
export async function insertVote(tx: Transaction, sealer: RowSealer, row: VoteRow): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO approval_votes (approval_id, identity, approved, signature, certificate, voted_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.approvalId,
      row.identity,
      row.approved,
      row.signature,
      row.certificate,
      row.votedAt,
      sealer.seal("approval_votes", { ...row }),
    ],
  );
  return inserted.length === 1;
}

export async function listVotes(
  tx: Transaction,
  sealer: RowSealer,
  ids: readonly string[],
): Promise<VoteRow[]> {
  const rows = await tx.query<Sealed<VoteRow>>(
    `SELECT ${voteColumns} FROM approval_votes WHERE approval_id = ANY($1) ORDER BY voted_at, identity`,
    [ids],
  );
  return rows.map((row) => openVote(sealer, row));
}

export const sealedApprovals: SealedTable = {
  name: "approvals",
  columns,
  key: [{ column: "id", type: "uuid" }],
  changes: true,
  revision: (row: ApprovalRow) => row.revision,
  open,
};

export const sealedVotes: SealedTable = {
  name: "approval_votes",
  columns: voteColumns,
  key: [
    { column: "approval_id", type: "uuid" },
    { column: "identity", type: "text" },
  ],
  revision: (row: VoteRow) => row.votedAt.getTime(),
  open: openVote,
};
