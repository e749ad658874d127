import type { Transaction } from "@claviger/database";

export interface CallerRow {
  version: number;
  /** Encrypted; the same for the same caller. */
  caller: Buffer;
  uses: number;
  firstUsedAt: Date;
  lastUsedAt: Date;
}

export interface ReportedRow extends CallerRow {
  keyring: string;
  key: string;
}

/** Of one version, all of its callers together. */
export interface VersionUses {
  version: number;
  uses: number;
  callers: number;
  firstUsedAt: Date;
  lastUsedAt: Date;
}

type Counted = Omit<CallerRow, "uses"> & { uses: string };

/** Resolves to false where this report, or a later one of the same reporter, was taken before. */
export async function takeReport(
  tx: Transaction,
  { now, reporter, sequence }: { reporter: string; sequence: bigint; now: Date },
): Promise<boolean> {
  const taken = await tx.query(
    `INSERT INTO use_reporters AS known (reporter, sequence, reported_at) VALUES ($1, $2, $3)
     ON CONFLICT (reporter) DO UPDATE SET sequence = excluded.sequence, reported_at = excluded.reported_at
       WHERE known.sequence < excluded.sequence
     RETURNING 1`,
    [reporter, sequence.toString(), now],
  );
  return taken.length === 1;
}

/** Processes that have long ended. */
export async function forgetReporters(tx: Transaction, before: Date): Promise<void> {
  await tx.query("DELETE FROM use_reporters WHERE reported_at < $1", [before]);
}

/** For each of these, how many callers its version has; undefined where the caller is one of them. */
export async function callersBeside(
  tx: Transaction,
  rows: readonly ReportedRow[],
  limit: number,
): Promise<(number | undefined)[]> {
  const found = await tx.query<{ known: boolean; beside: number | null }>(
    `SELECT known, CASE WHEN NOT known THEN (SELECT count(*)::integer FROM (
         SELECT 1 FROM key_callers c WHERE c.key_id = k.id AND c.version = u.version LIMIT $5) few) END AS beside
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[]) WITH ORDINALITY
       AS u(keyring, name, version, caller, place)
     LEFT JOIN keys k ON k.keyring = u.keyring AND k.name = u.name
     CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM key_callers c
       WHERE c.key_id = k.id AND c.version = u.version AND c.caller = u.caller) AS known) there
     ORDER BY place`,
    [...placesOf(rows), limit],
  );
  return found.map(({ beside, known }) => (known ? undefined : (beside ?? 0)));
}

/** Adds them up; what is of no version that there is, is left out. In one order, so that no two wait for each other. */
export async function addUses(tx: Transaction, rows: readonly ReportedRow[]): Promise<void> {
  await tx.query(
    `INSERT INTO key_callers AS known (key_id, version, caller, uses, first_used_at, last_used_at)
     SELECT v.key_id, v.version, u.caller, sum(u.uses), min(u.first_used_at), max(u.last_used_at)
     FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
       AS u(keyring, name, version, caller, uses, first_used_at, last_used_at)
     JOIN keys k ON k.keyring = u.keyring AND k.name = u.name
     JOIN key_versions v ON v.key_id = k.id AND v.version = u.version
     GROUP BY v.key_id, v.version, u.caller ORDER BY v.key_id, v.version, u.caller
     ON CONFLICT (key_id, version, caller) DO UPDATE SET uses = known.uses + excluded.uses,
       first_used_at = least(known.first_used_at, excluded.first_used_at),
       last_used_at = greatest(known.last_used_at, excluded.last_used_at)`,
    [
      ...placesOf(rows),
      rows.map(({ uses }) => uses),
      rows.map(({ firstUsedAt }) => firstUsedAt),
      rows.map(({ lastUsedAt }) => lastUsedAt),
    ],
  );
}

function placesOf(rows: readonly ReportedRow[]): unknown[][] {
  return [
    rows.map(({ keyring }) => keyring),
    rows.map(({ key }) => key),
    rows.map(({ version }) => version),
    rows.map(({ caller }) => caller),
  ];
}

export async function listVersionUses(
  tx: Transaction,
  keyId: string,
  versions: readonly number[],
): Promise<VersionUses[]> {
  const rows = await tx.query<Omit<VersionUses, "uses"> & { uses: string }>(
    `SELECT version, sum(uses) AS uses, count(*)::integer AS callers, min(first_used_at) AS "firstUsedAt",
       max(last_used_at) AS "lastUsedAt"
     FROM key_callers WHERE key_id = $1 AND version = ANY($2) GROUP BY version`,
    [keyId, versions],
  );
  return rows.map((row) => ({ ...row, uses: Number(row.uses) }));
}

/** After a place, by version (0: all) and caller. */
export async function listCallers(
  tx: Transaction,
  of: { keyId: string; version: number; after: { version: number; caller: Buffer }; limit: number },
): Promise<CallerRow[]> {
  const rows = await tx.query<Counted>(
    `SELECT version, caller, uses, first_used_at AS "firstUsedAt", last_used_at AS "lastUsedAt"
     FROM key_callers WHERE key_id = $1 AND ($2 = 0 OR version = $2) AND (version, caller) > ($3, $4)
     ORDER BY version, caller LIMIT $5`,
    [of.keyId, of.version, of.after.version, of.after.caller, of.limit],
  );
  return rows.map((row) => ({ ...row, uses: Number(row.uses) }));
}
