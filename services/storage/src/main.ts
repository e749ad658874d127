import { join } from "node:path";
import type { Transaction } from "@claviger/database";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { rowSealerFromFile } from "@claviger/row-seal";
import { register } from "@claviger/rpc";
import {
  createLogger,
  forgetRequestsByTheHour,
  type Lifetime,
  openDatabaseService,
  Rounds,
  runService,
  serve,
} from "@claviger/service";
import { decideAccess } from "./access.ts";
import { readConfig } from "./config.ts";
import { bindFirstAdministrator } from "./first-administrator.ts";
import { accessHandlers } from "./handlers/access.ts";
import { keyHandlers } from "./handlers/key.ts";
import { keyMaterialHandlers } from "./handlers/key-material.ts";
import { accessPolicy, keyMaterialPolicy, keyPolicy } from "./policy.ts";
import { purgeOne } from "./purger.ts";
import type { Registry } from "./registry.ts";
import { settleRestored } from "./restored.ts";

const service = "storage";
const purgeEveryMilliseconds = 5000;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const { trustDomain } = settings;
  const sealer = rowSealerFromFile(settings.sealKeyPath);
  const open = (tx: Transaction): Registry => ({ tx, sealer, now: new Date() });
  const { database, identity, probes, warn, work } = openDatabaseService({
    service,
    settings,
    logger,
    lifetime,
  });

  await settleRestored({ path: join(settings.directory, "restored.json"), work, open, trustDomain });
  await database.transaction((tx) => bindFirstAdministrator(open(tx), trustDomain));
  const onPurged = (name: string): void => logger.info("a key was destroyed", { name });
  const purging = new Rounds({
    everyMilliseconds: purgeEveryMilliseconds,
    work: () => purgeOne({ work, open, trustDomain, onPurged }),
    waiting: "purging waits",
    onTrouble: warn,
  });
  lifetime.onStop("purging", () => purging[Symbol.asyncDispose]());
  const forgetting = forgetRequestsByTheHour(database, warn);
  lifetime.onStop("forgetting", () => forgetting[Symbol.asyncDispose]());

  await serve<Transaction>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: (question) => database.transaction((tx) => decideAccess(open(tx), question)),
    auditedWork: work,
    probes,
    registrations: [
      register(KeyService, keyPolicy, keyHandlers(open)),
      register(AccessService, accessPolicy, accessHandlers({ open, trustDomain })),
      register(KeyMaterialService, keyMaterialPolicy, keyMaterialHandlers(open)),
    ],
  });
}
