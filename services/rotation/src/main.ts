import { createLeasedAccess } from "@claviger/access";
import { createServiceClient, Transport } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
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
import { subscriptionHandlers } from "./handlers/subscription.ts";
import { createKeyFollower } from "./key-follower.ts";
import { rotationPolicy, subscriptionPolicy } from "./policy.ts";
import { RolloutSignal } from "./rollout-signal.ts";
import { rotateOne } from "./scheduler.ts";

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

  const now = (): Date => new Date();
  const follower = createKeyFollower({ database, storage, onRollout: () => signal.wake() });
  bus.consume({ stream: "EVENTS", consumer: "rotation", batchMax: eventsBatchMax, handle: follower.handle });
  const scheduling = {
    database,
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
    probes,
    registrations: [
      register(RotationService, rotationPolicy, rotationHandlers(storage)),
      register(
        SubscriptionService,
        subscriptionPolicy,
        subscriptionHandlers({ database, decide: access.decide, signal, now }),
      ),
    ],
  });
}
