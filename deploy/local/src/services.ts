import { existsSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { DomainError } from "@claviger/domain-error";
import type { Accounts } from "./accounts.ts";
import type { Layout } from "./layout.ts";
import { ManagedProcess, type ManagedProcessOptions } from "./managed-process.ts";
import { hasDatabase, type ServiceName } from "./parts.ts";
import type { Ports } from "./ports.ts";
import { databaseName } from "./provision-database.ts";

const probeTimeoutMilliseconds = 1_000;

/**
 * Whom each service calls. All start at once, since each waits by itself for what it needs; they are
 * stopped in this order, so that nobody loses whom it calls.
 */
export const callsInto: Readonly<Record<ServiceName, readonly ServiceName[]>> = {
  storage: [],
  generator: ["storage"],
  distribution: ["generator"],
  rotation: ["distribution"],
  audit: ["distribution"],
};

export interface ServiceOptions {
  layout: Layout;
  accounts: Accounts;
  ports: Ports;
  trustDomain: string;
  /** The clone, as the services see it. */
  clone: string;
  /** More for one service's environment; for tests. */
  environment?: Readonly<Partial<Record<ServiceName, Readonly<Record<string, string>>>>> | undefined;
}

/** Everything that a service is told: it reads no other configuration. */
export function serviceEnvironment(service: ServiceName, options: ServiceOptions): Record<string, string> {
  const { layout, ports, trustDomain } = options;
  const directory = layout.serviceDirectory(service);
  const environment: Record<string, string> = {
    PATH: "/usr/bin:/bin",
    LANG: "C.UTF-8",
    TZ: "UTC",
    HOME: directory,
    // Half of a service's start is reading its sources.
    NODE_COMPILE_CACHE: join(directory, "compile-cache"),
    CLAVIGER_STOP_ON_STDIN_END: "1",
    CLAVIGER_TRUST_DOMAIN: trustDomain,
    CLAVIGER_DIRECTORY: directory,
    CLAVIGER_TRUST_DIRECTORY: layout.trust.directory,
    CLAVIGER_LISTEN: address(ports[service]),
    CLAVIGER_STORAGE_ADDRESS: address(ports.storage),
    CLAVIGER_GENERATOR_ADDRESS: address(ports.generator),
    CLAVIGER_DISTRIBUTION_ADDRESS: address(ports.distribution),
    CLAVIGER_NATS_URL: `tls://${address(ports.nats)}`,
  };
  if (hasDatabase(service)) {
    environment.CLAVIGER_DATABASE_HOST = layout.postgresql.socketDirectory;
    environment.CLAVIGER_DATABASE_PORT = String(ports.postgresql);
    environment.CLAVIGER_DATABASE_NAME = databaseName;
    environment.CLAVIGER_DATABASE_USER = service;
  }
  if (service === "distribution") {
    environment.CLAVIGER_ENROLLMENT_LISTEN = address(ports.enrollment);
    environment.CLAVIGER_HTTP_LISTEN = address(ports.publicHttp);
  }
  if (service === "generator") Object.assign(environment, tokenEnvironment(layout));
  return { ...environment, ...options.environment?.[service] };
}

/** How the generator's program finds its HSM; ceremonies (bootstrap) run it with the same. */
export function tokenEnvironment(layout: Layout): Record<string, string> {
  return {
    CLAVIGER_PKCS11_MODULE: findPkcs11Module(),
    CLAVIGER_PKCS11_TOKEN_LABEL: "claviger",
    CLAVIGER_PROFILE: process.env.CLAVIGER_PROFILE || "development",
    ...given("CLAVIGER_RECOVERY_THRESHOLD"),
    ...given("CLAVIGER_RECOVERY_SHARES"),
    SOFTHSM2_CONF: join(layout.serviceDirectory("generator"), "softhsm2.conf"),
  };
}

function given(name: string): Record<string, string> {
  const value = process.env[name];
  return value === undefined || value === "" ? {} : { [name]: value };
}

/** The PKCS#11 module: what the operator names, or SoftHSM where distributions put it. */
export function findPkcs11Module(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment.CLAVIGER_PKCS11_MODULE;
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return named;
    throw new DomainError(
      "failed-precondition",
      `CLAVIGER_PKCS11_MODULE names ${named}, which is not there`,
      {
        hint: "correct it, or unset it to use SoftHSM",
      },
    );
  }
  const multiarch = readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "softhsm/libsofthsm2.so"));
  const usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map((name) =>
    join(name, "softhsm/libsofthsm2.so"),
  );
  const found = [...usual, ...multiarch].find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new DomainError("failed-precondition", "no PKCS#11 module was found", {
    hint: "install SoftHSM (apt-get install softhsm2), or set CLAVIGER_PKCS11_MODULE to the HSM vendor's library",
  });
}

export function createService(
  service: ServiceName,
  options: ServiceOptions & Pick<ManagedProcessOptions, "onChange" | "onNotice">,
): ManagedProcess {
  const { layout, ports } = options;
  return new ManagedProcess({
    name: service,
    program: "/bin/sh",
    arguments: [
      "-c",
      'ulimit -c 0; exec "$@"',
      "sh",
      process.execPath,
      join(options.clone, "services", service, "src", "main.ts"),
    ],
    directory: layout.serviceDirectory(service),
    environment: serviceEnvironment(service, options),
    account: options.accounts[service],
    logFile: layout.logFile(service),
    isReady: () => isServing(service, ports[service]),
    startTimeoutMilliseconds: 90_000,
    stopSignal: "SIGTERM",
    onChange: options.onChange,
    onNotice: options.onNotice,
  });
}

/** Whether a service takes calls. Accepting a connection is taken for that; a health check belongs here. */
function isServing(_service: ServiceName, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: probeTimeoutMilliseconds });
    const answer = (serving: boolean) => {
      socket.destroy();
      resolve(serving);
    };
    socket.once("connect", () => answer(true));
    socket.once("timeout", () => answer(false));
    socket.once("error", () => answer(false));
  });
}

function address(port: number): string {
  return `127.0.0.1:${port}`;
}
