import type { Transaction } from "@claviger/database";
import { DomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";

export interface IdentityRow {
  identity: string;
  state: "invited" | "active" | "revoked";
  createdAt: Date;
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

const identityColumns = `identity, state, created_at AS "createdAt", seal`;
const tokenColumns = `secret_hash AS "secretHash", identity, created_by AS "createdBy", request_id AS "requestId",
  expires_at AS "expiresAt", used_at AS "usedAt", seal`;

function openIdentity(sealer: RowSealer, { seal, ...row }: Sealed<IdentityRow>): IdentityRow {
  sealer.check("identities", row.identity, { ...row }, seal);
  return row;
}

export async function saveIdentity(tx: Transaction, sealer: RowSealer, row: IdentityRow): Promise<void> {
  await tx.query(
    `INSERT INTO identities (identity, state, created_at, seal) VALUES ($1, $2, $3, $4)
     ON CONFLICT (identity) DO UPDATE SET state = $2, created_at = $3, seal = $4`,
    [row.identity, row.state, row.createdAt, sealer.seal("identities", { ...row })],
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
    await tx.query(
      "DELETE FROM enrollment_tokens WHERE created_by = $1 AND request_id = $2 AND identity = $3 AND used_at IS NULL",
      [row.createdBy, row.requestId, row.identity],
    );
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
  const { seal, ...row } = found;
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
export async function voidTokens(tx: Transaction, identity: string): Promise<void> {
  await tx.query("DELETE FROM enrollment_tokens WHERE identity = $1 AND used_at IS NULL", [identity]);
}
