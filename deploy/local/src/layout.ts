import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import type { PartName, ServiceName } from "./parts.ts";

/** A Unix socket's path has at most 107 bytes; PostgreSQL adds `/.s.PGSQL.NNNNN` to its directory. */
const socketDirectoryBytesMax = 85;

/** Where everything of one installation lies. Paths only: nothing here has to exist. */
export interface Layout {
  stateDirectory: string;
  /** What the command line reads: addresses and the default identity. Written by bootstrap. */
  configurationFile: string;
  /** What the launcher remembers between starts: ports, trust domain, whether the tour was given. */
  settingsFile: string;
  /** There while a restore is under way, or was cut off. */
  restoring: string;
  trust: { directory: string; bundle: string; bootstrap: string };
  administratorDirectory: string;
  recoveryDirectory: string;
  postgresql: {
    directory: string;
    data: string;
    socketDirectory: string;
    superuserPassword: string;
    pidFile: string;
  };
  nats: {
    directory: string;
    configuration: string;
    encryption: string;
    store: string;
    pidFile: string;
    tls: { directory: string; key: string; certificate: string; bundle: string };
  };
  run: { directory: string; supervisor: string };
  logDirectory: string;
  serviceDirectory(service: ServiceName): string;
  logFile(name: PartName | "supervisor"): string;
}

export interface LayoutOptions {
  /**
   * The state directory as it is known outside a mount namespace. It decides where the database's
   * socket is, so that processes inside and outside agree.
   */
  knownAs?: string | undefined;
}

/** The state directory that the environment names, or `.claviger` in the clone. */
export function stateDirectoryOf(clone: string, environment: NodeJS.ProcessEnv): string {
  const named = environment.CLAVIGER_STATE;
  return named === undefined || named === "" ? join(clone, ".claviger") : resolve(named);
}

export function layoutOf(stateDirectory: string, options: LayoutOptions = {}): Layout {
  const root = resolve(stateDirectory);
  const at = (...names: string[]) => join(root, ...names);
  const tls = at("nats", "tls");
  return {
    stateDirectory: root,
    configurationFile: at("claviger.json"),
    settingsFile: at("local.json"),
    restoring: at("restoring.json"),
    trust: {
      directory: at("trust"),
      bundle: at("trust", "bundle.pem"),
      bootstrap: at("trust", "bootstrap.pem"),
    },
    administratorDirectory: at("administrator"),
    recoveryDirectory: at("recovery"),
    postgresql: {
      directory: at("postgresql"),
      data: at("postgresql", "data"),
      socketDirectory: socketDirectoryOf(root, options.knownAs ?? root),
      superuserPassword: at("postgresql", "superuser.password"),
      pidFile: at("postgresql", "data", "postmaster.pid"),
    },
    nats: {
      directory: at("nats"),
      configuration: at("nats", "nats.conf"),
      encryption: at("nats", "encryption.conf"),
      store: at("nats", "store"),
      pidFile: at("nats", "nats.pid"),
      tls: {
        directory: tls,
        key: join(tls, "key.pem"),
        certificate: join(tls, "cert.pem"),
        bundle: join(tls, "ca.pem"),
      },
    },
    run: { directory: at("run"), supervisor: at("run", "supervisor.json") },
    logDirectory: at("log"),
    serviceDirectory: (service) => at(service),
    logFile: (name) => at("log", `${name}.log`),
  };
}

function socketDirectoryOf(root: string, knownAs: string): string {
  const inside = join("postgresql", "socket");
  if (Buffer.byteLength(join(knownAs, inside)) <= socketDirectoryBytesMax) return join(root, inside);
  const hash = createHash("sha256").update(resolve(knownAs)).digest("hex").slice(0, 16);
  return join("/tmp", `claviger-${hash}`);
}
