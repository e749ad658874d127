import { createHash } from "node:crypto";
import { join } from "node:path";
import { ensurePassword } from "@claviger/owned-files";
import { Client, escapeIdentifier, escapeLiteral } from "pg";
import type { Accounts } from "./accounts.ts";
import type { Layout } from "./layout.ts";
import { applyMigrations, migrationsOf } from "./migrate.ts";
import { type DatabaseServiceName, databaseServiceNames } from "./parts.ts";
import type { Postgresql } from "./postgresql.ts";

export const databaseName = "claviger";
const serviceConnectionsMax = 40;
const migrationConnectionsMax = 4;

export interface ProvisionOptions {
  layout: Layout;
  accounts: Accounts;
  port: number;
  /** The clone: migrations are read from services/<service>/migrations. */
  clone: string;
  postgresql: Postgresql;
}

/**
 * Brings the database to what the services expect: one database, and for each service a schema, a role
 * that owns it (for migrations only) and a role that may do what the migrations grant. Idempotent.
 */
export async function provisionDatabase(options: ProvisionOptions): Promise<void> {
  const { postgresql } = options;
  const server = await postgresql.connectAsSuperuser("postgres");
  try {
    const found = await server.query("select from pg_database where datname = $1", [databaseName]);
    if (found.rowCount === 0) await server.query(`create database ${databaseName}`);
  } finally {
    await server.end();
  }
  const database = await postgresql.connectAsSuperuser(databaseName);
  try {
    await database.query(
      `revoke all on database ${databaseName} from public; revoke all on schema public from public`,
    );
    for (const service of databaseServiceNames) await provisionService(database, service, options);
  } finally {
    await database.end();
  }
  await Promise.all(databaseServiceNames.map((service) => migrate(service, options)));
}

async function provisionService(
  database: Client,
  service: DatabaseServiceName,
  { layout, accounts }: ProvisionOptions,
): Promise<void> {
  const schema = escapeIdentifier(service);
  const owner = escapeIdentifier(`${service}_owner`);
  const role = escapeIdentifier(service);
  const ownerPassword = await ensurePassword(ownerPasswordFile(layout, service), undefined);
  const rolePassword = await ensurePassword(
    join(layout.serviceDirectory(service), "database.password"),
    accounts[service],
  );
  const restricted = "login nosuperuser nocreatedb nocreaterole noreplication nobypassrls noinherit";
  await ensureRole(
    database,
    `${service}_owner`,
    ownerPassword,
    `${restricted} connection limit ${migrationConnectionsMax}`,
  );
  await ensureRole(
    database,
    service,
    rolePassword,
    `${restricted} connection limit ${serviceConnectionsMax}`,
  );
  await database.query(`
    grant connect on database ${databaseName} to ${owner}, ${role};
    create schema if not exists ${schema} authorization ${owner};
    revoke all on schema ${schema} from public;
    grant usage on schema ${schema} to ${role};
    alter role ${owner} in database ${databaseName} set search_path = ${schema};
    alter role ${role} in database ${databaseName} set search_path = ${schema};
    alter default privileges for role ${owner} revoke all on functions from public;
    alter default privileges for role ${owner} revoke all on types from public;
  `);
}

/**
 * Sets the role's password and limits when they are not what they should be. The role's comment says
 * what they were last time (a hash of 256 random bits gives nothing away), since setting them again
 * would cost hashing and a catalogue write at each start.
 */
async function ensureRole(
  database: Client,
  name: string,
  password: string,
  attributes: string,
): Promise<void> {
  const identifier = escapeIdentifier(name);
  const mark = `${attributes}; password ${createHash("sha256").update(password).digest("hex").slice(0, 32)}`;
  const known = await database.query<{ mark: string | null }>(
    "select shobj_description(oid, 'pg_authid') as mark from pg_roles where rolname = $1",
    [name],
  );
  if (known.rows[0]?.mark === mark) return;
  // The statement holds the password, so it must not reach the server's log even when it fails.
  await database.query("set log_min_error_statement = panic; set log_statement = none");
  if (known.rowCount === 0) await database.query(`create role ${identifier}`);
  await database.query(`alter role ${identifier} with ${attributes} password ${escapeLiteral(password)}`);
  await database.query(`comment on role ${identifier} is ${escapeLiteral(mark)}`);
}

async function migrate(
  service: DatabaseServiceName,
  { layout, clone, port }: ProvisionOptions,
): Promise<void> {
  const migrations = await migrationsOf(join(clone, "services", service, "migrations"));
  if (migrations.length === 0) return;
  const client = new Client({
    host: layout.postgresql.socketDirectory,
    port,
    database: databaseName,
    user: `${service}_owner`,
    password: await ensurePassword(ownerPasswordFile(layout, service), undefined),
  });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await applyMigrations(client, service, migrations);
  } finally {
    await client.end();
  }
}

function ownerPasswordFile(layout: Layout, service: DatabaseServiceName): string {
  return join(layout.postgresql.directory, `${service}_owner.password`);
}
