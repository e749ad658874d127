import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { DomainError } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import { ensureDirectory, readIfThere, writeOwnedFile } from "@claviger/owned-files";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { busTls } from "./bus-tls.ts";
import type { Layout } from "./layout.ts";
import { ManagedProcess, type ManagedProcessOptions } from "./managed-process.ts";
import { busPermissions } from "./nats-permissions.ts";
import { signal } from "./process-identity.ts";

const connectTimeoutMilliseconds = 2_000;

interface NatsOptions {
  layout: Layout;
  account: Account | undefined;
  port: number;
  trustDomain: string;
  /** The path of nats-server 2.9 or newer. */
  program: string;
  onChange: ManagedProcessOptions["onChange"];
  onNotice: ManagedProcessOptions["onNotice"];
}

export interface Nats {
  process: ManagedProcess;
  /** Connects as the operator, who may change streams and nothing else; the caller closes it. */
  connectAsOperator(): Promise<NatsConnection>;
  /** Makes the server read its key, certificate and bundle again; open connections stay. */
  reloadCertificates(): void;
}

/** Writes the bus's configuration, and prepares the process. The files in nats/tls must be there when it starts. */
export async function prepareNats(options: NatsOptions): Promise<Nats> {
  const { layout, account, port } = options;
  await ensureDirectory(layout.nats.store, { mode: 0o700, account });
  await ensureStoreKey(layout, account);
  await writeOwnedFile(layout.nats.configuration, configurationOf(options), { mode: 0o600, account });
  // A pid file that outlived its process could name a stranger.
  await rm(layout.nats.pidFile, { force: true });

  const connectAsOperator = () =>
    connect({
      servers: `tls://127.0.0.1:${port}`,
      name: "claviger launcher",
      inboxPrefix: "_INBOX_nats",
      timeout: connectTimeoutMilliseconds,
      reconnect: false,
      tls: busTls(layout, options.trustDomain),
    });
  const managed = new ManagedProcess({
    name: "nats",
    program: "/bin/sh",
    arguments: ["-c", 'umask 077; ulimit -c 0; exec "$@"', "sh", options.program, "--config", "nats.conf"],
    // The configuration names its files relative to this directory, which has one path inside a mount
    // namespace and another outside.
    directory: layout.nats.directory,
    environment: { PATH: "/usr/bin:/bin", GOMEMLIMIT: "256MiB" },
    account,
    logFile: layout.logFile("nats"),
    isReady: async () => {
      const connection = await connectAsOperator();
      await connection.close();
      return true;
    },
    startTimeoutMilliseconds: 20_000,
    stopSignal: "SIGTERM",
    onChange: options.onChange,
    onNotice: options.onNotice,
  });
  const reloadCertificates = () => {
    const { pid } = managed.status();
    if (pid !== undefined) signal(pid, "SIGHUP");
  };
  return { process: managed, connectAsOperator, reloadCertificates };
}

/** The key of the store's encryption, in a file of its own that the configuration includes. */
async function ensureStoreKey(layout: Layout, account: Account | undefined): Promise<void> {
  if ((await readIfThere(layout.nats.encryption)) !== undefined) return;
  const content = `cipher: "chachapoly"\nkey: "${randomBytes(32).toString("base64url")}"\n`;
  await writeOwnedFile(layout.nats.encryption, content, { mode: 0o600, account });
}

/**
 * The configuration, in what nats-server 2.9 understands: it knows no `sync_interval` and no
 * `min_version`, so that naming the suites of TLS 1.3 alone is what refuses TLS 1.2.
 */
function configurationOf({ port, trustDomain }: NatsOptions): string {
  if (!/^[a-z0-9._-]+$/.test(trustDomain)) {
    throw new DomainError(
      "invalid-argument",
      `the trust domain ${JSON.stringify(trustDomain)} is not a SPIFFE trust domain`,
      {
        hint: "use lower-case letters, digits, dots and dashes",
      },
    );
  }
  const users = Object.entries(busPermissions).map(([user, { publish, subscribe }]) => {
    const uri = `spiffe://${trustDomain}/claviger/${user}`;
    return `    { user: "${uri}", permissions: { publish: ${list(publish)}, subscribe: ${list(subscribe)} } }`;
  });
  return `# written by the launcher at each start
listen: "127.0.0.1:${port}"
server_name: "claviger"
pid_file: "nats.pid"
logtime: true
max_payload: 1048576
max_connections: 256
max_subscriptions: 1024
max_control_line: 4096
max_pending: 67108864
tls {
  cert_file: "tls/cert.pem"
  key_file: "tls/key.pem"
  ca_file: "tls/ca.pem"
  verify_and_map: true
  timeout: 5
  cipher_suites: ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]
}
authorization {
  users: [
${users.join("\n")}
  ]
}
jetstream {
  store_dir: "store"
  max_memory_store: 67108864
  max_file_store: 4294967296
  include "encryption.conf"
}
`;
}

function list(subjects: readonly string[]): string {
  return `[${subjects.map((subject) => `"${subject}"`).join(", ")}]`;
}
