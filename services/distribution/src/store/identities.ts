import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import { insertWithdrawal, type SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";

export interface IdentityRow {
  identity: string;
  state: "invited" | "active" | "revoked";
  createdAt: Date;
  /** 1, and one more with each change; the store counts. */
  revision?: number;
}

export interface TokenRow {
  secretHash: Buffer;
  identity: string;
  createdBy: string;
  requestId: string;
  expiresAt: Date;
  usedAt: Date | null;
}

type Sealed<Row> = Row & { seal: Buffer };

const identityColumns = `identity, state, created_at AS "createdAt", revision, seal`;
const tokenColumns = `secret_hash AS "secretHash", identity, created_by AS "createdBy", request_id AS "requestId",
  expires_at AS "expiresAt", used_at AS "usedAt", seal`;

/** One that was never changed is sealed as before there were revisions. */
function sealedIdentity({ revision = 1, ...row }: IdentityRow) {
  return revision === 1 ? { ...row } : { ...row, revision };
}

function openIdentity(sealer: RowSealer, { seal, ...row }: Sealed<IdentityRow>): IdentityRow {
  sealer.check("identities", row.identity, sealedIdentity(row), seal);
  return row;
}

export async function saveIdentity(tx: Transaction, sealer: RowSealer, saved: IdentityRow): Promise<void> {
  const [known] = await tx.query<{ revision: number }>(
    "SELECT revision FROM identities WHERE identity = $1 FOR UPDATE",
    [saved.identity],
  );
  const row = { ...saved, revision: (known?.revision ?? 0) + 1 };
  await tx.query(
    `INSERT INTO identities (identity, state, created_at, revision, seal) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (identity) DO UPDATE SET state = $2, created_at = $3, revision = $4, seal = $5`,
    [row.identity, row.state, row.createdAt, row.revision, sealer.seal("identities", sealedIdentity(row))],
  );
}

export async function findIdentity(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
  lock: "read" | "lock" = "read",
): Promise<IdentityRow | undefined> {
  const [row] = await tx.query<Sealed<IdentityRow>>(
    `SELECT ${identityColumns} FROM identities WHERE identity = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [identity],
  );
  return row === undefined ? undefined : openIdentity(sealer, row);
}

export async function listIdentities(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<IdentityRow[]> {
  const rows = await tx.query<Sealed<IdentityRow>>(
    `SELECT ${identityColumns} FROM identities WHERE identity > $1 ORDER BY identity LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => openIdentity(sealer, row));
}

/** A repeated request's token takes the place of the first, which nobody may have received. */
export async function insertToken(tx: Transaction, sealer: RowSealer, row: TokenRow): Promise<void> {
  if (row.requestId !== "") {
    const replaced = await tx.query<{ secretHash: Buffer }>(
      `DELETE FROM enrollment_tokens WHERE created_by = $1 AND request_id = $2 AND identity = $3 AND used_at IS NULL
       RETURNING secret_hash AS "secretHash"`,
      [row.createdBy, row.requestId, row.identity],
    );
    await noteWithdrawn(tx, sealer, replaced);
    const taken = await tx.query(
      "SELECT 1 FROM enrollment_tokens WHERE created_by = $1 AND request_id = $2",
      [row.createdBy, row.requestId],
    );
    if (taken.length > 0) {
      throw new DomainError("invalid-argument", "this request_id was used for another request", {
        hint: "use a new UUID for each request, and the same one only to repeat it unchanged",
      });
    }
  }
  await tx.query(
    `INSERT INTO enrollment_tokens (secret_hash, identity, created_by, request_id, expires_at, used_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [
      row.secretHash,
      row.identity,
      row.createdBy,
      row.requestId,
      row.expiresAt,
      row.usedAt,
      sealer.seal("enrollment_tokens", { ...row }),
    ],
  );
}

export async function lockToken(
  tx: Transaction,
  sealer: RowSealer,
  secretHash: Buffer,
): Promise<TokenRow | undefined> {
  const [found] = await tx.query<Sealed<TokenRow>>(
    `SELECT ${tokenColumns} FROM enrollment_tokens WHERE secret_hash = $1 FOR UPDATE`,
    [secretHash],
  );
  if (found === undefined) return undefined;
  return openToken(sealer, found);
}

function openToken(sealer: RowSealer, { seal, ...row }: Sealed<TokenRow>): TokenRow {
  sealer.check("enrollment_tokens", `a token of ${row.identity}`, { ...row }, seal);
  return row;
}

export async function markTokenUsed(
  tx: Transaction,
  sealer: RowSealer,
  row: TokenRow,
  usedAt: Date,
): Promise<void> {
  const used = { ...row, usedAt };
  await tx.query("UPDATE enrollment_tokens SET used_at = $2, seal = $3 WHERE secret_hash = $1", [
    row.secretHash,
    usedAt,
    sealer.seal("enrollment_tokens", { ...used }),
  ]);
}

/** Tokens of a revoked identity are worth nothing any more. */
export async function voidTokens(tx: Transaction, sealer: RowSealer, identity: string): Promise<void> {
  const voided = await tx.query<{ secretHash: Buffer }>(
    `DELETE FROM enrollment_tokens WHERE identity = $1 AND used_at IS NULL RETURNING secret_hash AS "secretHash"`,
    [identity],
  );
  await noteWithdrawn(tx, sealer, voided);
}

async function noteWithdrawn(
  tx: Transaction,
  sealer: RowSealer,
  tokens: readonly { secretHash: Buffer }[],
): Promise<void> {
  for (const { secretHash } of tokens) {
    const place = secretHash.toString("hex");
    await insertWithdrawal(tx, sealer, { source: "enrollment_tokens", place, withdrawnAt: new Date() });
  }
}

export const sealedIdentities: SealedTable = {
  name: "identities",
  columns: identityColumns,
  key: [{ column: "identity", type: "text" }],
  changes: true,
  revision: (row: IdentityRow) => row.revision ?? 1,
  open: openIdentity,
};

export const sealedTokens: SealedTable = {
  name: "enrollment_tokens",
  columns: tokenColumns,
  key: [{ column: "secret_hash", type: "bytea" }],
  changes: true,
  revision: (row: TokenRow) => (row.usedAt === null ? 1 : 2),
  label: (row: TokenRow) => `a token of ${row.identity}`,
  open: openToken,
};
