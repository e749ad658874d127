import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createLeasedAccess } from "@claviger/access";
import { createServiceClient, Transport } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import { insertEvent } from "@claviger/outbox";
import { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { RowService } from "@claviger/proto/rotation/v1/rows_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { guardRows } from "@claviger/row-ledger";
import { register } from "@claviger/rpc";
import {
  createLogger,
  type Lifetime,
  openDatabaseService,
  Rounds,
  runService,
  serve,
} from "@claviger/service";
import { readConfig } from "./config.ts";
import { rotationHandlers } from "./handlers/rotation.ts";
import { rowHandlers } from "./handlers/rows.ts";
import { subscriptionHandlers } from "./handlers/subscription.ts";
import { createKeyFollower } from "./key-follower.ts";
import { rotationPolicy, rowPolicy, subscriptionPolicy } from "./policy.ts";
import type { OpenRegistry } from "./registry.ts";
import { RolloutSignal } from "./rollout-signal.ts";
import { rotateOne } from "./scheduler.ts";
import { sealedTables, sealUnsealedRows } from "./sealed-tables.ts";

const service = "rotation";
const scheduleEveryMilliseconds = 1000;
const eventsBatchMax = 100;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const { trustDomain } = settings;
  const signal = new RolloutSignal();
  const onGap = (): void => {
    access.invalidate();
    signal.wake();
  };
  const parts = openDatabaseService({ service, settings, logger, lifetime, onGap });
  const { bus, database, identity, probes, warn, work } = parts;
  const connect = (address: string, name: string): Transport =>
    new Transport({ address, identity, serverIdentity: serviceIdentity(trustDomain, name).uri });
  const toStorage = connect(settings.storageAddress, "storage");
  const storage = createServiceClient(KeyService, toStorage);
  const access = createLeasedAccess({
    transport: toStorage,
    leaseMilliseconds: settings.leaseMilliseconds,
  });
  bus.subscribe("claviger.events.storage.access.>", () => access.invalidate());
  // Another replica's roll-outs, too, are news for this one's watchers.
  bus.subscribe("claviger.events.rotation.>", () => signal.wake());

  const guard = guardRows({
    directory: settings.directory,
    database,
    tables: sealedTables,
    namesSomebody: new Set(["subscriptions", "acknowledgements"]),
    publish: (tx, row, table) =>
      insertEvent(tx, "rotation", {
        type: "registry.row-changed",
        subject: row,
        time: new Date(),
        data: { table },
      }),
    logger,
    warn,
    lifetime,
  });
  const open: OpenRegistry = (tx) => ({ tx, sealer: guard.sealerOf(tx) });
  const restored = join(settings.directory, "restored.json");
  if (guard.firstStart && !existsSync(restored)) {
    await database.transaction((tx) => sealUnsealedRows(open(tx)));
  }
  rmSync(restored, { force: true });
  const now = (): Date => new Date();
  const follower = createKeyFollower({ database, open, storage, onRollout: () => signal.wake() });
  bus.consume({ stream: "EVENTS", consumer: "rotation", batchMax: eventsBatchMax, handle: follower.handle });
  const scheduling = {
    database,
    open,
    generator: createServiceClient(KeyGenerationService, connect(settings.generatorAddress, "generator")),
    follow: follower.follow,
    now,
    onRotated: (name: string, version: number) => logger.info("rotated", { name, version }),
    onTrouble: warn,
  };
  const scheduler = new Rounds({
    everyMilliseconds: scheduleEveryMilliseconds,
    work: () => rotateOne(scheduling),
    waiting: "rotations wait",
    onTrouble: warn,
  });
  lifetime.onStop("scheduler", () => scheduler[Symbol.asyncDispose]());

  await serve<Transaction>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: access.decide,
    claimApproval: access.claimApproval,
    auditedWork: work,
    probes: [...probes, guard.probe],
    registrations: [
      register(RowService, rowPolicy, rowHandlers(guard)),
      register(RotationService, rotationPolicy, rotationHandlers({ open, storage })),
      register(
        SubscriptionService,
        subscriptionPolicy,
        subscriptionHandlers({ database, open, decide: access.decide, signal, now }),
      ),
    ],
  });
}
