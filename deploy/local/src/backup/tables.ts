import { DomainError } from "@claviger/domain-error";
import { type Client, escapeIdentifier } from "pg";
import { databaseServiceNames } from "../parts.ts";

/** A table of a service, with its columns in their order. */
export interface Table {
  schema: string;
  name: string;
  columns: string[];
}

/** Everything that the services keep, but which migrations were applied: those are compared. */
export async function tablesOf(database: Client): Promise<Table[]> {
  const { rows } = await database.query<{ schema: string; name: string; columns: string[] }>(
    `SELECT t.table_schema AS schema, t.table_name AS name,
       array_agg(c.column_name::text ORDER BY c.ordinal_position) AS columns
     FROM information_schema.tables t
     JOIN information_schema.columns c USING (table_schema, table_name)
     WHERE t.table_schema = ANY($1) AND t.table_type = 'BASE TABLE' AND t.table_name <> 'schema_migrations'
     GROUP BY 1, 2 ORDER BY 1, 2`,
    [databaseServiceNames],
  );
  return rows;
}

export async function appliedMigrations(
  database: Client,
): Promise<Record<string, { name: string; sha256: string }[]>> {
  const applied: Record<string, { name: string; sha256: string }[]> = {};
  for (const schema of databaseServiceNames) {
    const { rows } = await database.query<{ name: string; sha256: string }>(
      `SELECT name, sha256 FROM ${escapeIdentifier(schema)}.schema_migrations ORDER BY name`,
    );
    applied[schema] = rows;
  }
  return applied;
}

export function sectionName({ name, schema }: Pick<Table, "schema" | "name">): string {
  return `${schema}.${name}`;
}

export function sqlName({ name, schema }: Pick<Table, "schema" | "name">): string {
  return `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;
}

export function columnList(columns: readonly string[]): string {
  return columns.map(escapeIdentifier).join(", ");
}

/** @throws DomainError `failed-precondition` where the tables of a backup are not those of this version */
function requireSameTables(
  ours: readonly Table[],
  theirs: readonly { name: string; columns?: string[] | undefined }[],
): void {
  const text = (tables: readonly { name: string; columns?: string[] | undefined }[]): string =>
    tables
      .map(({ columns = [], name }) => `${name} ${columns.join(",")}`)
      .sort()
      .join("\n");
  if (text(ours.map((table) => ({ ...table, name: sectionName(table) }))) === text(theirs)) return;
  throw new DomainError(
    "failed-precondition",
    "the backup's tables are not those of this version of Claviger",
    {
      hint: "restore it with the version that made it, and then upgrade",
    },
  );
}

/** Before anything is filled with a backup's rows. @throws DomainError `failed-precondition` */
export async function requireSameVersion(
  database: Client,
  backup: {
    tables: readonly { name: string; columns?: string[] }[];
    migrations: Record<string, { name: string; sha256: string }[]>;
  },
): Promise<void> {
  requireSameTables(
    await tablesOf(database),
    backup.tables.filter(({ columns }) => columns !== undefined),
  );
  if (JSON.stringify(await appliedMigrations(database)) === JSON.stringify(backup.migrations)) return;
  throw new DomainError("failed-precondition", "the backup is of another version of Claviger's tables", {
    hint: "restore it with the version that made it, and then upgrade",
  });
}
