import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Claviger,
  createClaviger,
  enrollWithToken,
  readConfigFile,
  writeIdentity,
} from "@claviger/client";
import {
  type Layout,
  layoutOf,
  type PartName,
  type Ports,
  portsOf,
  readSupervisorFile,
  type ServiceName,
} from "@claviger/local";
import { Client } from "pg";
import { afterAll, inject } from "vitest";
import type {} from "./global-setup.ts";
import { type CliOptions, type CliResult, runCli } from "./run-cli.ts";
import { clone, type InstallationAddress } from "./shared-installation.ts";

/** A client of an identity that `enrol` made. */
export interface EnrolledClient extends Claviger {
  /** The SPIFFE URI. */
  readonly uri: string;
  /** Holds key.pem, cert.pem, bundle.pem and claviger.json. */
  readonly directory: string;
  /** That claviger.json, for `cli(…, { config })`. */
  readonly configPath: string;
}

export interface TestInstallation extends InstallationAddress {
  clone: string;
  configPath: string;
  layout: Layout;
  ports: Ports;
  /** The first administrator's client. */
  claviger: Claviger;
  /** Runs the command line, as the administrator unless `config` says otherwise. */
  cli(args: readonly string[], options?: CliOptions): Promise<CliResult>;
  /** A new identity (a workload, or `user/…`), with a role on a resource (`*`) where one is named. */
  enrol(name: string, role?: string, resource?: string): Promise<EnrolledClient>;
  /** One statement as PostgreSQL's superuser, who sees all schemas. */
  superuser<Row = Record<string, unknown>>(sql: string, values?: unknown[]): Promise<Row[]>;
  pidOf(part: PartName): number;
  serviceLog(part: PartName | "supervisor"): string;
}

const pollMilliseconds = 20;

/** The installation under test. Call it at the top of a test file: what it opens is closed after the file. */
export function useInstallation(): TestInstallation {
  const address = inject("installation");
  const layout = layoutOf(address.stateDirectory);
  const ports = portsOf(address.basePort);
  const configPath = layout.configurationFile;
  const claviger = createClaviger({ config: configPath });
  const clients: Claviger[] = [claviger];
  let database: Promise<Client> | undefined;
  afterAll(async () => {
    for (const client of clients) client.close();
    await (await database)?.end();
  });
  return {
    ...address,
    clone,
    configPath,
    layout,
    ports,
    claviger,
    cli: (args, options = {}) => runCli(args, configPath, options),
    async enrol(name, role, resource = "*") {
      const client = await enrolClient(claviger, join(address.workDirectory, unique("identity")), name);
      clients.push(client);
      if (role !== undefined) await claviger.access.grantRole({ role, identity: client.uri, resource });
      return client;
    },
    async superuser<Row>(sql: string, values: unknown[] = []) {
      // A server that was restarted, by a test of that, has ended the connection.
      database ??= connectAsSuperuser(layout, ports, () => {
        database = undefined;
      });
      return (await (await database).query(sql, values)).rows as Row[];
    },
    pidOf(part) {
      const pid = readSupervisorFile(layout)?.parts.find(({ name }) => name === part)?.pid;
      if (pid === undefined) throw new Error(`${part} does not run`);
      return pid;
    },
    serviceLog: (part) => readFileSync(layout.logFile(part), "utf8"),
  };
}

async function enrolClient(
  administrator: Claviger,
  directory: string,
  name: string,
): Promise<EnrolledClient> {
  const { token } = await administrator.identities.createEnrollmentToken({ name });
  const joined = await enrollWithToken(token);
  writeIdentity(directory, { ...joined, addresses: administrator.addresses });
  const configPath = join(directory, "claviger.json");
  const { trustDomain, addresses, identityDirectory } = readConfigFile(configPath);
  const client = createClaviger({ trustDomain, addresses, identityDirectory });
  return Object.assign(client, { uri: joined.identity, directory, configPath });
}

async function connectAsSuperuser(layout: Layout, ports: Ports, onLost: () => void): Promise<Client> {
  const client = new Client({
    host: layout.postgresql.socketDirectory,
    port: ports.postgresql,
    database: "claviger",
    user: "postgres",
    password: readFileSync(layout.postgresql.superuserPassword, "utf8").trim(),
  });
  client.on("error", onLost);
  await client.connect();
  return client;
}

/** A name that nothing else in this run has. */
export function unique(prefix: string): string {
  return `${prefix}-${randomBytes(5).toString("hex")}`;
}

/**
 * Asks until the condition gives something true, and returns that with the time it took.
 * A condition that throws is asked again; what it threw last is the cause when time is up.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  timeoutMilliseconds: number,
): Promise<{ value: NonNullable<T>; milliseconds: number }> {
  const began = performance.now();
  for (;;) {
    let cause: unknown;
    try {
      const value = await condition();
      if (value !== undefined && value !== null && value !== false) {
        return { value: value as NonNullable<T>, milliseconds: performance.now() - began };
      }
    } catch (error) {
      cause = error;
    }
    if (performance.now() - began > timeoutMilliseconds) {
      throw new Error(`this did not come true within ${timeoutMilliseconds} ms`, { cause });
    }
    await sleep(pollMilliseconds);
  }
}

export type { ServiceName };
