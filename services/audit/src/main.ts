import { createLeasedAccess } from "@claviger/access";
import { createServiceClient, Transport } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { register } from "@claviger/rpc";
import { createLogger, type Lifetime, openDatabaseService, runService, serve } from "@claviger/service";
import { ensureCheckpointKey } from "./checkpoint-key.ts";
import { Checkpointer } from "./checkpointer.ts";
import { readConfig } from "./config.ts";
import { auditHandlers } from "./handlers/audit.ts";
import { auditPolicy } from "./policy.ts";
import { createSequencer } from "./sequencer.ts";

const service = "audit";
/** Bundles: of up to 128 records each, which is what one transaction takes well. */
const batchMax = 100;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const { trustDomain } = settings;
  const onGap = (): void => access.invalidate();
  const { bus, database, identity, probes, warn, work } = openDatabaseService({
    service,
    settings,
    logger,
    lifetime,
    onGap,
  });
  const connect = (address: string, name: string): Transport =>
    new Transport({ address, identity, serverIdentity: serviceIdentity(trustDomain, name).uri });
  const toStorage = connect(settings.storageAddress, "storage");
  const access = createLeasedAccess({
    transport: toStorage,
    leaseMilliseconds: settings.leaseMilliseconds,
  });
  bus.subscribe("claviger.events.storage.access.>", () => access.invalidate());

  const toGenerator = connect(settings.generatorAddress, "generator");
  const now = (): Date => new Date();
  const checkpointer = new Checkpointer({
    database,
    generator: createServiceClient(CheckpointService, toGenerator),
    origin: `${trustDomain}/audit`,
    now,
    onTrouble: warn,
  });
  lifetime.onStop("checkpoints", () => checkpointer[Symbol.asyncDispose]());
  const registry = createServiceClient(KeyService, toStorage);
  const generation = createServiceClient(KeyGenerationService, toGenerator);
  void ensureCheckpointKey({ generator: generation, registry }, warn).then(() => checkpointer.wake());
  bus.consume({
    stream: "AUDIT",
    consumer: "audit",
    batchMax,
    handle: createSequencer({
      database,
      bus,
      writerKeys: settings.writerKeys,
      now,
      onAppended: () => checkpointer.wake(),
      onForgery: (what) => logger.error("a forged audit record was refused", { what }),
    }),
  });

  await serve<Transaction>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: access.decide,
    claimApproval: access.claimApproval,
    auditedWork: work,
    probes,
    registrations: [register(AuditService, auditPolicy, auditHandlers(checkpointer))],
  });
}
