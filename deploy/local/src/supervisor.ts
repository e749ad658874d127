import { DomainError } from "@claviger/domain-error";
import { type Accounts, ensureAccounts } from "./accounts.ts";
import { scratchLayout, sweepScratch } from "./backup/scratch.ts";
import type { Bootstrap, CompleteBootstrap } from "./bootstrap.ts";
import { type BusTrust, keepBusTrust, writeBusRoots } from "./bus-trust.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { endLeftovers } from "./leftovers.ts";
import { decideSettings, type LocalSettings } from "./local-settings.ts";
import type { ManagedProcess } from "./managed-process.ts";
import { prepareNats } from "./nats.ts";
import { type PartName, serviceNames } from "./parts.ts";
import { type Ports, portsOf } from "./ports.ts";
import { preparePostgresql } from "./postgresql.ts";
import { processStart } from "./process-identity.ts";
import { provisionDatabase } from "./provision-database.ts";
import { allOrFirstFailure, type Services, startServices, stopInOrder } from "./service-order.ts";
import { createService, type ServiceOptions, tokenEnvironment } from "./services.ts";
import { ensureStateDirectories } from "./state-directories.ts";
import { provisionStreams } from "./streams.ts";
import { type InstallationState, type InstallationStatus, writeSupervisorFile } from "./supervisor-file.ts";

export interface InstallationEvent {
  part: PartName | undefined;
  message: string;
}

export interface InstallationOptions {
  clone: string;
  stateDirectory: string;
  /** The state directory's path outside a mount namespace, where there is one. */
  knownAs?: string | undefined;
  /** Left out: remembered, or the default block, or the next free one. */
  basePort?: number | undefined;
  trustDomain?: string | undefined;
  bootstrap: Bootstrap;
  completeBootstrap: CompleteBootstrap;
  /** nats-server's path. */
  natsServer: string;
  environment?: ServiceOptions["environment"];
  onEvent: (event: InstallationEvent) => void;
  /** Aborting ends the start: what runs already is stopped, and the promise is rejected. */
  signal?: AbortSignal | undefined;
}

export interface Installation {
  layout: Layout;
  ports: Ports;
  trustDomain: string;
  status(): InstallationStatus;
  /** Ends all parts in reverse order, within ten seconds. */
  stop(): Promise<void>;
  /** Ends all parts at once. */
  kill(): void;
  reloadBusCertificates(): void;
}

/**
 * Starts PostgreSQL, NATS and the five services, and resolves when all are ready. From then on each is
 * started again when it ends by itself. When the start fails, everything is stopped before it throws.
 */
export async function startInstallation(options: InstallationOptions): Promise<Installation> {
  const layout = layoutOf(options.stateDirectory, { knownAs: options.knownAs });
  const notice = (part?: PartName) => (message: string) => options.onEvent({ part, message });
  const accounts = await ensureAccounts();
  await ensureStateDirectories(layout, accounts);
  await sweepScratch(scratchLayout(layout, options.knownAs ?? layout.stateDirectory));
  const ended = await endLeftovers(layout);
  if (ended.length > 0) notice()(`ended what an earlier start had left running: ${ended.join(", ")}`);
  const settings = await decideSettings({
    layout,
    basePort: options.basePort,
    trustDomain: options.trustDomain,
    onNotice: notice(),
  });
  const parts = await prepareParts({ options, layout, accounts, settings });
  const stopped = () => parts.stop();
  options.signal?.addEventListener("abort", stopped, { once: true });
  try {
    options.signal?.throwIfAborted();
    await parts.start();
  } catch (cause) {
    await parts.stop();
    throw cause;
  } finally {
    options.signal?.removeEventListener("abort", stopped);
  }
  return {
    layout,
    ports: portsOf(settings.basePort),
    trustDomain: settings.trustDomain,
    status: parts.status,
    stop: parts.stop,
    kill: parts.kill,
    reloadBusCertificates: parts.reloadBusCertificates,
  };
}

interface PartsContext {
  options: InstallationOptions;
  layout: Layout;
  accounts: Accounts;
  settings: LocalSettings;
}

/** Prepares the parts, and gives what starts, stops and describes them together. None is started here. */
async function prepareParts(context: PartsContext) {
  const { options, layout, accounts, settings } = context;
  const { clone } = options;
  const ports = portsOf(settings.basePort);
  const startedAt = new Date().toISOString();
  let state: InstallationState = "starting";
  let stopping: Promise<void> | undefined;
  let all: readonly ManagedProcess[] = [];
  let busTrust: BusTrust | undefined;
  const status = (): InstallationStatus => ({
    pid: process.pid,
    processStart: processStart(process.pid),
    startedAt,
    state,
    basePort: settings.basePort,
    parts: all.map((part) => part.status()),
  });
  const onChange = () => writeSupervisorFile(layout, status());
  const { services, postgresql, nats } = await createParts(context, onChange);
  all = [postgresql.process, nats.process, ...Object.values(services)];

  const started = async (part: ManagedProcess) => {
    const began = performance.now();
    await part.start();
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    options.onEvent({ part: part.name, message: `ready after ${seconds} s` });
  };
  const startDatabase = async () => {
    await started(postgresql.process);
    await provisionDatabase({ layout, accounts, port: ports.postgresql, clone, postgresql });
  };
  const startBus = async () => {
    await bootstrapWith(context);
    await writeBusRoots(layout, accounts.nats);
    await started(nats.process);
    const connection = await nats.connectAsOperator();
    await provisionStreams(connection).finally(() => connection.close());
  };
  const start = async () => {
    onChange();
    await allOrFirstFailure([startDatabase(), startBus()]);
    await startServices(services, started);
    busTrust = keepBusTrust({
      layout,
      account: accounts.nats,
      trustDomain: settings.trustDomain,
      distributionAddress: `127.0.0.1:${ports.distribution}`,
      reload: nats.reloadCertificates,
      onNotice: (message) => options.onEvent({ part: "nats", message }),
    });
    await completeWith(context, busTrust);
    if (stopping !== undefined) throw new DomainError("aborted", "the start was stopped");
    state = "ready";
    onChange();
  };
  const stop = () => {
    stopping ??= (async () => {
      state = "stopping";
      onChange();
      await busTrust?.[Symbol.asyncDispose]();
      await stopInOrder(services, [nats.process, postgresql.process]);
    })();
    return stopping;
  };
  const kill = () => {
    for (const part of all) part.kill();
  };
  return { start, stop, kill, status, reloadBusCertificates: nats.reloadCertificates };
}

async function createParts({ options, layout, accounts, settings }: PartsContext, onChange: () => void) {
  const { trustDomain } = settings;
  const ports = portsOf(settings.basePort);
  const hooks = (part: PartName) => ({
    onChange,
    onNotice: (message: string) => options.onEvent({ part, message }),
  });
  const serviceOptions = {
    layout,
    accounts,
    ports,
    trustDomain,
    clone: options.clone,
    environment: options.environment,
  };
  const services = Object.fromEntries(
    serviceNames.map((name) => [name, createService(name, { ...serviceOptions, ...hooks(name) })]),
  ) as Services;
  const program = options.natsServer;
  const [postgresql, nats] = await Promise.all([
    preparePostgresql({
      layout,
      account: accounts.postgresql,
      port: ports.postgresql,
      ...hooks("postgresql"),
    }),
    prepareNats({ layout, account: accounts.nats, port: ports.nats, trustDomain, program, ...hooks("nats") }),
  ]);
  return { services, postgresql, nats };
}

function bootstrapWith({ options, layout, accounts, settings }: PartsContext): Promise<void> {
  return options.bootstrap({
    layout,
    accounts,
    ports: portsOf(settings.basePort),
    trustDomain: settings.trustDomain,
    clone: options.clone,
    node: process.execPath,
    tokenEnvironment: tokenEnvironment(layout),
    onNotice: (message) => options.onEvent({ part: undefined, message }),
  });
}

/** What needs the services: everybody has renewed, the administrator is enrolled, trust is written down. */
async function completeWith({ options, layout, settings }: PartsContext, busTrust: BusTrust): Promise<void> {
  await busTrust.settled();
  const ports = portsOf(settings.basePort);
  const at = (port: number) => `127.0.0.1:${port}`;
  await options.completeBootstrap({
    layout,
    trustDomain: settings.trustDomain,
    addresses: {
      ...Object.fromEntries(serviceNames.map((name) => [name, at(ports[name])])),
      enrollment: at(ports.enrollment),
      http: at(ports.publicHttp),
    },
    trustBundle: busTrust.identity.trustBundle,
    onNotice: (message) => options.onEvent({ part: undefined, message }),
  });
}
