import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import { type Client, escapeIdentifier } from "pg";

const fileNamePattern = /^\d{4}-[a-z0-9-]+\.sql$/;

export interface Migration {
  name: string;
  sha256: string;
  statements: string;
}

/** The migrations of one service in their order; none where the directory is absent. */
export async function migrationsOf(directory: string): Promise<Migration[]> {
  let names: string[];
  try {
    names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).sort();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw cause;
  }
  const numbers = new Set<string>();
  for (const name of names) {
    const number = name.slice(0, 4);
    if (!fileNamePattern.test(name) || numbers.has(number)) {
      throw new DomainError("internal", `${join(directory, name)} is no migration, or its number is taken`, {
        hint: "name migrations 0001-what-it-does.sql, each number once",
      });
    }
    numbers.add(number);
  }
  return Promise.all(
    names.map(async (name) => {
      const content = await readFile(join(directory, name));
      return {
        name,
        sha256: createHash("sha256").update(content).digest("hex"),
        statements: content.toString("utf8"),
      };
    }),
  );
}

/**
 * Applies what is missing, each migration in a transaction with its own record. The client is connected
 * as the schema's owner. Refuses when an applied migration has changed or is gone: the schema is then
 * not what the files say.
 */
export async function applyMigrations(
  client: Client,
  schema: string,
  migrations: Migration[],
): Promise<void> {
  const table = `${escapeIdentifier(schema)}.schema_migrations`;
  await client.query("select pg_advisory_lock(hashtext($1))", [`migrations ${schema}`]);
  await client.query(`
    create table if not exists ${table} (
      name text primary key,
      sha256 text not null,
      applied_at timestamptz not null default now()
    )`);
  const applied = await client.query<{ name: string; sha256: string }>(
    `select name, sha256 from ${table} order by name`,
  );
  for (const [index, { name, sha256 }] of applied.rows.entries()) {
    const file = migrations[index];
    if (file?.name === name && file.sha256 === sha256) continue;
    throw new DomainError(
      "integrity",
      `${schema}: the applied migration ${name} was changed, removed or preceded`,
      {
        hint: "put the file back as it was and write a new migration; in a development clone, npm run reset",
      },
    );
  }
  for (const migration of migrations.slice(applied.rows.length)) await applyOne(client, table, migration);
}

async function applyOne(client: Client, table: string, migration: Migration): Promise<void> {
  await client.query("begin");
  try {
    await client.query(migration.statements);
    await client.query(`insert into ${table} (name, sha256) values ($1, $2)`, [
      migration.name,
      migration.sha256,
    ]);
    await client.query("commit");
  } catch (cause) {
    await client.query("rollback");
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new DomainError("internal", `migration ${table} ${migration.name} failed: ${said}`, {
      hint: "correct the file; nothing of it was applied",
      cause,
    });
  }
}
