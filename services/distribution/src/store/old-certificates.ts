import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import {
  type CertificateRow,
  certificateColumns,
  openCertificate,
  type SealedCertificate,
} from "./certificates.ts";

/** Profiles of Claviger's own: their certificates follow the CAs by themselves. */
const ownProfiles = ["service", "attestation", "tickets", "ocsp"];

interface Of {
  /** Of the CAs whose certificates are counted. */
  generations: readonly number[];
  now: Date;
}

/** Issuing CAs of Claviger's own roots alone: generations of others are not the rotation's. */
const live = `authority LIKE 'issuing%' AND authority_generation = ANY($1) AND not_after > $2 AND revoked_at IS NULL AND profile <> ALL($3)`;
/**
 * It was renewed, with itself, and by a CA of another generation, for a while already. That its identity has another
 * certificate says nothing: an identity may run in several places, each with its own.
 */
const hasSuccessor = `EXISTS (
  SELECT 1 FROM certificate_successions s JOIN certificates n ON n.serial = s.successor
  WHERE s.serial = c.serial AND s.renewed_at < $4 AND n.authority_generation <> ALL($1)
    AND n.not_after > $2 AND n.revoked_at IS NULL)`;

/** The certificate that the caller showed has a successor from now on. */
export async function saveSuccession(
  tx: Transaction,
  row: { serial: string; successor: string; renewedAt: Date },
): Promise<void> {
  await tx.query(
    `INSERT INTO certificate_successions (serial, successor, renewed_at) VALUES ($1, $2, $3)
     ON CONFLICT (serial) DO UPDATE SET successor = $2, renewed_at = $3`,
    [row.serial, row.successor, row.renewedAt],
  );
}

export async function countOld(
  tx: Transaction,
  { generations, now }: Of,
): Promise<{ count: number; withoutSuccessor: number; lastEnds: Date | undefined }> {
  const [row] = await tx.query<{ count: string; superseded: string; last: Date | null }>(
    `SELECT count(*) AS count, count(*) FILTER (WHERE ${hasSuccessor}) AS superseded, max(not_after) AS last
     FROM certificates c WHERE ${live}`,
    [generations, now, ownProfiles, now],
  );
  const count = Number(row?.count ?? 0);
  return { count, withoutSuccessor: count - Number(row?.superseded ?? 0), lastEnds: row?.last ?? undefined };
}

export async function anyOld(tx: Transaction, { generations, now }: Of): Promise<boolean> {
  const rows = await tx.query(`SELECT 1 FROM certificates c WHERE ${live} LIMIT 1`, [
    generations,
    now,
    ownProfiles,
  ]);
  return rows.length > 0;
}

/** Those whose holder has had another for so long that calls with the old one have ended. */
export async function lockSuperseded(
  tx: Transaction,
  sealer: RowSealer,
  of: Of & { successorSince: Date; limit: number },
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates c WHERE ${live} AND ${hasSuccessor}
     ORDER BY serial LIMIT $5 FOR UPDATE`,
    [of.generations, of.now, ownProfiles, of.successorSince, of.limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

/** What a distrusted CA issued, and is not revoked for good. */
export async function lockOfAuthority(
  tx: Transaction,
  sealer: RowSealer,
  of: { authority: string; generation: number; now: Date; limit: number },
): Promise<CertificateRow[]> {
  const rows = await tx.query<SealedCertificate>(
    `SELECT ${certificateColumns} FROM certificates WHERE authority = $1 AND authority_generation = $2
       AND not_after > $3 AND (revoked_at IS NULL OR revocation_reason = 'certificateHold') AND profile <> 'ocsp'
     ORDER BY serial LIMIT $4 FOR UPDATE`,
    [of.authority, of.generation, of.now, of.limit],
  );
  return rows.map((row) => openCertificate(sealer, row));
}

export async function countLiveOf(
  tx: Transaction,
  of: { authority: string; generation: number; now: Date },
): Promise<number> {
  const [row] = await tx.query<{ count: string }>(
    `SELECT count(*) AS count FROM certificates WHERE authority = $1 AND authority_generation = $2
       AND not_after > $3 AND revoked_at IS NULL`,
    [of.authority, of.generation, of.now],
  );
  return Number(row?.count ?? 0);
}
