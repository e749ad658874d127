import { type Bus, openBus } from "@claviger/bus";
import { type Database, openDatabase } from "@claviger/database";
import { TlsIdentity } from "@claviger/identity";
import { createDatabaseAuditedWork, type DatabaseAuditedWork, OutboxRelay } from "@claviger/outbox";
import type { Lifetime } from "./lifetime.ts";
import { type Logger, limitedWarnings } from "./logger.ts";
import type { CommonSettings, DatabaseSettings } from "./settings.ts";
import { type DependencyProbe, probe } from "./status.ts";

export interface DatabaseServiceParts {
  identity: TlsIdentity;
  database: Database;
  bus: Bus;
  work: DatabaseAuditedWork;
  probes: readonly DependencyProbe[];
  warn: (what: string) => void;
}

/** The parts of every service that has a database: its identity, database, bus, outbox and audited work. */
export function openDatabaseService(options: {
  service: string;
  settings: CommonSettings & { database: DatabaseSettings; auditKey: Buffer };
  logger: Logger;
  lifetime: Lifetime;
  onGap?: () => void;
}): DatabaseServiceParts {
  const { lifetime, logger, onGap, service, settings } = options;
  const { auditKey, trustDomain } = settings;
  const warn = limitedWarnings(logger);
  const identity = TlsIdentity.load(settings.tlsDirectory);
  const database = openDatabase({ ...settings.database, onConnectionLost: (error) => warn(error.message) });
  lifetime.onStop("database", () => database[Symbol.asyncDispose]());
  const bus = openBus({
    url: settings.natsUrl,
    service,
    trustDomain,
    identity,
    onTrouble: warn,
    ...(onGap === undefined ? {} : { onGap }),
  });
  lifetime.onStop("bus", () => bus[Symbol.asyncDispose]());
  const relay = new OutboxRelay({ database, bus, service, auditKey, onTrouble: warn });
  lifetime.onStop("outbox", () => relay[Symbol.asyncDispose]());
  relay.start();
  const work = createDatabaseAuditedWork({ database, service, auditKey, relay });
  return { identity, database, bus, work, probes: [databaseProbe(database), busProbe(bus)], warn };
}

function databaseProbe(database: Database): DependencyProbe {
  return probe("postgresql", async () => ({ version: `PostgreSQL ${await database.version()}` }));
}

export function busProbe(bus: Bus): DependencyProbe {
  return probe("nats", async () => {
    const { connected, version } = bus.status();
    if (!connected) throw new Error("not connected");
    return { version: `NATS ${version}` };
  });
}
