import type { AuditRecord } from "@claviger/audit-record";
import type { Transaction } from "@claviger/database";

export interface RecordRow {
  sequence: number;
  leaf: string;
  personal: string | null;
  salt: Buffer | null;
  recordedAt: Date;
}

export interface RecordFilter {
  actor: string;
  resource: string;
  method: string;
  outcome: string;
  since: Date | null;
  until: Date | null;
  /** Only records before this sequence; null from the newest on. */
  before: number | null;
  limit: number;
}

export async function knownIds(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }>("SELECT id FROM records WHERE id = ANY($1)", [ids]);
  return new Set(rows.map(({ id }) => id));
}

export async function insertRecords(
  tx: Transaction,
  firstSequence: number,
  records: readonly AuditRecord[],
  recordedAt: Date,
): Promise<void> {
  const facts = records.map((record) => searchable(record.leaf));
  await tx.query(
    `INSERT INTO records (sequence, id, leaf, personal, salt, actor, happened_at, service, method, resource,
       outcome, recorded_at)
     SELECT *, $12::timestamptz FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::bytea[],
       $6::text[], $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[])`,
    [
      records.map((_, at) => firstSequence + at),
      records.map(({ id }) => id),
      records.map(({ leaf }) => leaf),
      records.map(({ personal }) => personal),
      records.map(({ salt }) => salt),
      records.map(({ personal }) => (JSON.parse(personal) as { actor?: string }).actor ?? ""),
      facts.map(({ time }) => time),
      facts.map(({ service }) => service),
      facts.map(({ method }) => method),
      facts.map(({ resource }) => resource),
      facts.map(({ outcome }) => outcome),
      recordedAt,
    ],
  );
}

/** Copies to search by. PostgreSQL's text holds no NUL, and one record may not hold up all others. */
function searchable(leaf: string): Record<string, string> {
  const facts = JSON.parse(leaf) as Record<string, unknown>;
  const text = Object.entries(facts).map(
    ([name, value]) => [name, String(value).replaceAll("\0", "")] as const,
  );
  return Object.fromEntries(text);
}

const columns = `sequence, leaf, personal, salt, recorded_at AS "recordedAt"`;

type RawRow = Omit<RecordRow, "sequence"> & { sequence: string };

function open({ sequence, ...row }: RawRow): RecordRow {
  return { ...row, sequence: Number(sequence) };
}

export async function findRecord(tx: Transaction, sequence: number): Promise<RecordRow | undefined> {
  const [row] = await tx.query<RawRow>(`SELECT ${columns} FROM records WHERE sequence = $1`, [sequence]);
  return row === undefined ? undefined : open(row);
}

/** Newest first. A keyring's name finds its keys' records too. */
export async function searchRecords(tx: Transaction, filter: RecordFilter): Promise<RecordRow[]> {
  const rows = await tx.query<RawRow>(
    `SELECT ${columns} FROM records
     WHERE ($1 = '' OR actor = $1)
       AND ($2 = '' OR resource = $2 OR starts_with(resource, $2 || '/'))
       AND ($3 = '' OR method = $3 OR split_part(method, '/', 2) = $3)
       AND ($4 = '' OR outcome = $4)
       AND ($5::timestamptz IS NULL OR happened_at >= $5)
       AND ($6::timestamptz IS NULL OR happened_at < $6)
       AND ($7::bigint IS NULL OR sequence < $7)
     ORDER BY sequence DESC LIMIT $8`,
    [
      filter.actor,
      filter.resource,
      filter.method,
      filter.outcome,
      filter.since,
      filter.until,
      filter.before,
      filter.limit,
    ],
  );
  return rows.map(open);
}
