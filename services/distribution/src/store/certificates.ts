import type { Transaction } from "@claviger/database";
import type { SealedTable } from "@claviger/row-ledger";
import type { RowSealer } from "@claviger/row-seal";
import type { RevocationReason } from "@claviger/x509";

export interface CertificateRow {
  serial: string;
  authority: string;
  authorityGeneration: number;
  subject: string;
  names: string[];
  profile: string;
  identity: string | null;
  requestedBy: string;
  publicKeySha256: Buffer;
  /** DER. */
  certificate: Buffer;
  notBefore: Date;
  notAfter: Date;
  revokedAt: Date | null;
  revocationReason: RevocationReason | null;
}

export type SealedCertificate = CertificateRow & { seal: Buffer };

export const certificateColumns = `serial, authority, authority_generation AS "authorityGeneration", subject, names, profile, identity,
  requested_by AS "requestedBy", public_key_sha256 AS "publicKeySha256", certificate,
  not_before AS "notBefore", not_after AS "notAfter", revoked_at AS "revokedAt",
  revocation_reason AS "revocationReason", seal`;

/** What is on hold can still be revoked for good. */
const revocable = "(revoked_at IS NULL OR revocation_reason = 'certificateHold')";

/** Names are sealed as one JSON text, whatever the database makes of them. */
function sealed(row: CertificateRow) {
  return { ...row, names: JSON.stringify(row.names) };
}

export function openCertificate(sealer: RowSealer, { seal, ...row }: SealedCertificate): CertificateRow {
  sealer.check("certificates", `certificate ${row.serial}`, sealed(row), seal);
  return row;
}

export async function insertCertificate(
  tx: Transaction,
  sealer: RowSealer,
  row: CertificateRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO certificates (serial, authority, authority_generation, subject, names, profile, identity,
       requested_by, public_key_sha256, certificate, not_before, not_after, revoked_at, revocation_reason, seal)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      row.serial,
      row.authority,
      row.authorityGeneration,
      row.subject,
      JSON.stringify(row.names),
      row.profile,
      row.identity,
      row.requestedBy,
      row.publicKeySha256,
      row.certificate,
      row.notBefore,
      row.notAfter,
      row.revokedAt,
      row.revocationReason,
      sealer.seal("certificates", sealed(row)),
    ],
  );
}

export async function findCertificate(
  tx: Transaction,
  sealer: RowSealer,
  serial: string,
  lock: "read" | "lock" = "read",
): Promise<CertificateRow | undefined> {
  const [row] = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE serial = $1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
    [serial],
  );
  return row === undefined ? undefined : openCertificate(sealer, row);
}

export async function listCertificates(
  tx: Transaction,
  sealer: RowSealer,
  after: string,
  limit: number,
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE serial > $1 ORDER BY serial LIMIT $2`,
    [after, limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

/** The newest certificate of an identity. */
export async function newestCertificate(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
): Promise<CertificateRow | undefined> {
  const [row] = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE identity = $1 ORDER BY not_after DESC LIMIT 1`,
    [identity],
  );
  return row === undefined ? undefined : openCertificate(sealer, row);
}

/** The newest certificate of a key in one profile. */
export async function newestOfKey(
  tx: Transaction,
  sealer: RowSealer,
  publicKeySha256: Buffer,
  profile: string,
): Promise<CertificateRow | undefined> {
  const [row] = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE public_key_sha256 = $1 AND profile = $2
     ORDER BY not_after DESC LIMIT 1`,
    [publicKeySha256, profile],
  );
  return row === undefined ? undefined : openCertificate(sealer, row);
}

export async function lockLiveCertificates(
  tx: Transaction,
  sealer: RowSealer,
  identity: string,
  now: Date,
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates
     WHERE identity = $1 AND not_after > $2 AND ${revocable} ORDER BY serial FOR UPDATE`,
    [identity, now],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

export async function countLiveCertificates(tx: Transaction, identity: string, now: Date): Promise<number> {
  const [row] = await tx.query<{ count: string }>(
    "SELECT count(*) AS count FROM certificates WHERE identity = $1 AND not_after > $2 AND revoked_at IS NULL",
    [identity, now],
  );
  return Number(row?.count ?? 0);
}

/** Who had certificates for this key, and in which profiles. */
export async function holdersOfKey(
  tx: Transaction,
  publicKeySha256: Buffer,
): Promise<{ identity: string | null; requestedBy: string }[]> {
  return tx.query<{ identity: string | null; requestedBy: string }>(
    `SELECT DISTINCT identity, requested_by AS "requestedBy" FROM certificates WHERE public_key_sha256 = $1 LIMIT 100`,
    [publicKeySha256],
  );
}

export async function markRevoked(
  tx: Transaction,
  sealer: RowSealer,
  row: CertificateRow,
  revokedAt: Date | null,
  reason: RevocationReason | null,
): Promise<CertificateRow> {
  const revoked = { ...row, revokedAt, revocationReason: reason };
  await tx.query(
    "UPDATE certificates SET revoked_at = $2, revocation_reason = $3, seal = $4 WHERE serial = $1",
    [row.serial, revokedAt, reason, sealer.seal("certificates", sealed(revoked))],
  );
  return revoked;
}

/** What a list names: revoked, and not expired since `expiredBefore`; page by page, by serial. */
export async function listRevoked(
  tx: Transaction,
  sealer: RowSealer,
  of: { authority: string; generation: number; expiredBefore: Date; after: string; limit: number },
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates
     WHERE authority = $1 AND authority_generation = $2 AND revoked_at IS NOT NULL AND not_after >= $3
       AND serial > $4
     ORDER BY serial LIMIT $5`,
    [of.authority, of.generation, of.expiredBefore, of.after, of.limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

/** Every certificate of a key that is not revoked for good. */
export async function lockOfKey(
  tx: Transaction,
  sealer: RowSealer,
  of: { publicKeySha256: Buffer; limit: number },
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE public_key_sha256 = $1 AND ${revocable}
     ORDER BY serial LIMIT $2 FOR UPDATE`,
    [of.publicKeySha256, of.limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

/** Of those that have not ended, page by page: what answers are prepared for. */
export async function listLive(
  tx: Transaction,
  sealer: RowSealer,
  of: { after: string; limit: number; now: Date },
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE serial > $1 AND not_after > $2 ORDER BY serial LIMIT $3`,
    [of.after, of.now, of.limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

/** The newest certificate that this CA gave a key in one profile. */
export async function newestOfAuthority(
  tx: Transaction,
  sealer: RowSealer,
  of: { authority: string; generation: number; publicKeySha256: Buffer; profile: string },
): Promise<CertificateRow | undefined> {
  const [row] = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE public_key_sha256 = $1 AND profile = $2 AND authority = $3
       AND authority_generation = $4 AND revoked_at IS NULL ORDER BY not_after DESC LIMIT 1`,
    [of.publicKeySha256, of.profile, of.authority, of.generation],
  );
  return row === undefined ? undefined : openCertificate(sealer, row);
}

export const sealedCertificates: SealedTable = {
  name: "certificates",
  columns: certificateColumns,
  key: [{ column: "serial", type: "text" }],
  changes: true,
  // On hold is not for good: a certificate may come back from there.
  revision: ({ revocationReason, revokedAt }: Pick<CertificateRow, "revocationReason" | "revokedAt">) =>
    revokedAt === null || revocationReason === "certificateHold" ? 1 : 2,
  label: (row: CertificateRow) => `certificate ${row.serial}`,
  open: openCertificate,
};
