import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

export interface TokenIssuerRow {
  name: string;
  issuer: string;
  audience: string;
  /** JSON. */
  jwks: string;
  createdBy: string;
  createdAt: Date;
}

export interface TokenRuleRow {
  id: string;
  issuerName: string;
  /** JSON of an object of texts, its names in order. */
  claims: string;
  identity: string;
  createdBy: string;
  createdAt: Date;
}

type Sealed<Row> = Row & { seal: Buffer };

const issuerColumns = `name, issuer, audience, jwks, created_by AS "createdBy", created_at AS "createdAt", seal`;
const ruleColumns = `id, issuer_name AS "issuerName", claims, identity, created_by AS "createdBy",
  created_at AS "createdAt", seal`;

function openIssuer(sealer: RowSealer, { seal, ...row }: Sealed<TokenIssuerRow>): TokenIssuerRow {
  sealer.check("token_issuers", `token issuer ${row.name}`, { ...row }, seal);
  return row;
}

function openRule(sealer: RowSealer, { seal, ...row }: Sealed<TokenRuleRow>): TokenRuleRow {
  sealer.check("token_rules", `token rule ${row.id}`, { ...row }, seal);
  return row;
}

/** Resolves to whether there was none of this name or issuer. */
export async function insertTokenIssuer(
  tx: Transaction,
  sealer: RowSealer,
  row: TokenIssuerRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO token_issuers (name, issuer, audience, jwks, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.name,
      row.issuer,
      row.audience,
      row.jwks,
      row.createdBy,
      row.createdAt,
      sealer.seal("token_issuers", { ...row }),
    ],
  );
  return inserted.length > 0;
}

export async function findTokenIssuer(
  tx: Transaction,
  sealer: RowSealer,
  by: { issuer: string } | { name: string },
): Promise<TokenIssuerRow | undefined> {
  const [column, value] = "issuer" in by ? ["issuer", by.issuer] : ["name", by.name];
  const [row] = await tx.query<Sealed<TokenIssuerRow>>(
    `SELECT ${issuerColumns} FROM token_issuers WHERE ${column} = $1`,
    [value],
  );
  return row && openIssuer(sealer, row);
}

export async function listTokenIssuers(tx: Transaction, sealer: RowSealer): Promise<TokenIssuerRow[]> {
  const rows = await tx.query<Sealed<TokenIssuerRow>>(
    `SELECT ${issuerColumns} FROM token_issuers ORDER BY name`,
  );
  return rows.map((row) => openIssuer(sealer, row));
}

/** Resolves to whether it was there. */
export async function deleteTokenIssuer(tx: Transaction, name: string): Promise<boolean> {
  return (await tx.query("DELETE FROM token_issuers WHERE name = $1 RETURNING 1", [name])).length > 0;
}

/** Resolves to whether there was none with these claims. */
export async function insertTokenRule(
  tx: Transaction,
  sealer: RowSealer,
  row: TokenRuleRow,
): Promise<boolean> {
  const inserted = await tx.query(
    `INSERT INTO token_rules (id, issuer_name, claims, identity, created_by, created_at, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1`,
    [
      row.id,
      row.issuerName,
      row.claims,
      row.identity,
      row.createdBy,
      row.createdAt,
      sealer.seal("token_rules", { ...row }),
    ],
  );
  return inserted.length > 0;
}

export async function listTokenRules(
  tx: Transaction,
  sealer: RowSealer,
  issuerName: string,
): Promise<TokenRuleRow[]> {
  const rows = await tx.query<Sealed<TokenRuleRow>>(
    `SELECT ${ruleColumns} FROM token_rules WHERE issuer_name = $1 ORDER BY identity, claims`,
    [issuerName],
  );
  return rows.map((row) => openRule(sealer, row));
}

/** Resolves to whether it was there. */
export async function deleteTokenRule(tx: Transaction, id: string): Promise<boolean> {
  return (await tx.query("DELETE FROM token_rules WHERE id = $1 RETURNING 1", [id])).length > 0;
}
