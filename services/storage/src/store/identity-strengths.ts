import type { ColumnCipher } from "@claviger/column-cipher";
import type { Transaction } from "@claviger/database";
import type { AuthenticationStrength } from "@claviger/identity";

/** An identity was seen with this strength, at least once between the two moments. */
export interface StrengthRow extends AuthenticationStrength {
  identity: string;
  firstSeenAt: Date;
  lastSeenAt: Date;
}

const columns = `identity, key_type AS "keyType", key_bits AS "keyBits", signature_algorithm AS "signatureAlgorithm",
  lifetime_hours AS "lifetimeHours", tls_version AS "tlsVersion", key_exchange AS "keyExchange",
  first_seen_at AS "firstSeenAt", last_seen_at AS "lastSeenAt"`;
const place = "identity, key_type, key_bits, signature_algorithm, lifetime_hours, tls_version, key_exchange";

/** Encrypted, the same for the same identity. */
const identityColumn = "identity_strengths.identity";

function concealed(cipher: ColumnCipher, identity: string): string {
  return cipher.concealExact(identityColumn, identity).toString("base64url");
}

function revealed<Row extends StrengthRow>(cipher: ColumnCipher, row: Row): Row {
  return { ...row, identity: cipher.revealExact(identityColumn, Buffer.from(row.identity, "base64url")) };
}

export type SeenStrength = Omit<StrengthRow, "firstSeenAt">;

export async function keepStrengths(
  tx: Transaction,
  cipher: ColumnCipher,
  rows: readonly SeenStrength[],
): Promise<void> {
  const of = <K extends keyof SeenStrength>(field: K): SeenStrength[K][] => rows.map((row) => row[field]);
  await tx.query(
    `INSERT INTO identity_strengths (${place}, first_seen_at, last_seen_at)
     SELECT ${place}, at, at
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::text[],
       $8::timestamptz[]) AS seen (${place}, at)
     ORDER BY ${place}
     ON CONFLICT (${place})
     DO UPDATE SET last_seen_at = GREATEST(identity_strengths.last_seen_at, excluded.last_seen_at)`,
    [
      of("identity").map((identity) => concealed(cipher, identity)),
      of("keyType"),
      of("keyBits"),
      of("signatureAlgorithm"),
      of("lifetimeHours"),
      of("tlsVersion"),
      of("keyExchange"),
      of("lastSeenAt"),
    ],
  );
}

/** Each identity's together, after one place of the order. */
export async function listStrengths(
  tx: Transaction,
  cipher: ColumnCipher,
  after: string,
  limit: number,
): Promise<(StrengthRow & { place: string })[]> {
  const order = `concat_ws(' ', ${place})`;
  const rows = await tx.query<StrengthRow & { place: string }>(
    `SELECT ${columns}, ${order} AS place FROM identity_strengths WHERE ${order} > $1 ORDER BY ${order} LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => revealed(cipher, row));
}

/** Of one identity; there are few. */
export async function strengthsOf(
  tx: Transaction,
  cipher: ColumnCipher,
  identity: string,
): Promise<StrengthRow[]> {
  const rows = await tx.query<StrengthRow>(
    `SELECT ${columns} FROM identity_strengths WHERE identity = $1 ORDER BY last_seen_at DESC LIMIT 100`,
    [concealed(cipher, identity)],
  );
  return rows.map((row) => revealed(cipher, row));
}

export async function forgetStrengths(tx: Transaction, before: Date, keptOfIdentity: number): Promise<void> {
  await tx.query("DELETE FROM identity_strengths WHERE last_seen_at < $1", [before]);
  await tx.query(
    `DELETE FROM identity_strengths USING (
       SELECT ${place}, row_number() OVER (PARTITION BY identity ORDER BY last_seen_at DESC) AS newest
       FROM identity_strengths
     ) AS placed
     WHERE placed.newest > $1 AND (${prefixed("identity_strengths")}) = (${prefixed("placed")})`,
    [keptOfIdentity],
  );
}

function prefixed(table: string): string {
  return place
    .split(", ")
    .map((column) => `${table}.${column}`)
    .join(", ");
}
