import { createLeasedAccess } from "@claviger/access";
import { AuditSpool } from "@claviger/audit-sink";
import { openBus } from "@claviger/bus";
import { createServiceClient, Transport } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import { serviceIdentity, TlsIdentity } from "@claviger/identity";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { type AuditedWork, register } from "@claviger/rpc";
import {
  busProbe,
  createLogger,
  type DependencyProbe,
  describeError,
  type Lifetime,
  limitedWarnings,
  probe,
  runService,
  serve,
} from "@claviger/service";
import { readConfig } from "./config.ts";
import { checkpointHandlers } from "./handlers/checkpoint.ts";
import { cryptographyHandlers } from "./handlers/cryptography.ts";
import { keyGenerationHandlers, keyringHandlers } from "./handlers/key-generation.ts";
import { openPkcs11Hsm } from "./hsm/pkcs11-hsm.ts";
import type { Hsm } from "./hsm/port.ts";
import { followEvents } from "./invalidation.ts";
import { KeyMaker } from "./key-maker.ts";
import { KeyStore } from "./key-store.ts";
import { KeyringKeys } from "./keyring-keys.ts";
import { checkpointPolicy, cryptographyPolicy, keyGenerationPolicy, keyringPolicy } from "./policy.ts";

const service = "generator";
const retryMilliseconds = 500;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const warn = limitedWarnings(logger);
  const identity = TlsIdentity.load(settings.tlsDirectory);
  const hsm = openPkcs11Hsm(settings);
  lifetime.onStop("hsm", () => hsm[Symbol.asyncDispose]());

  const toStorage = new Transport({
    address: settings.storageAddress,
    identity,
    serverIdentity: serviceIdentity(settings.trustDomain, "storage").uri,
  });
  const storage = createServiceClient(KeyMaterialService, toStorage, { deadlineMilliseconds: 5000 });
  const { leaseMilliseconds } = settings;
  const access = createLeasedAccess({
    storage: createServiceClient(AccessService, toStorage, { deadlineMilliseconds: 5000 }),
    leaseMilliseconds,
  });
  const keyringKeys = new KeyringKeys({ hsm, storage, leaseMilliseconds });
  const onTrouble = (error: unknown): void => warn(describeError(error));
  const keyStore = new KeyStore({ hsm, storage, keyringKeys, leaseMilliseconds, onTrouble });
  lifetime.onStop("keys", () => keyStore[Symbol.dispose]());
  const keyMaker = new KeyMaker({
    hsm,
    storage,
    keyringKeys,
    keyStore,
    admitLegacy: settings.admitLegacy,
  });

  const forget = (): void => {
    access.invalidate();
    keyStore.invalidateAll();
  };
  const bus = openBus({
    url: settings.natsUrl,
    service,
    trustDomain: settings.trustDomain,
    identity,
    onTrouble: warn,
    onGap: forget,
  });
  lifetime.onStop("bus", () => bus[Symbol.asyncDispose]());
  followEvents(bus, keyStore, access);
  const spool = await AuditSpool.open({
    path: settings.spoolPath,
    service,
    auditKey: settings.auditKey,
    bus,
    onTrouble: warn,
  });
  lifetime.onStop("audit spool", () => spool[Symbol.asyncDispose]());

  await serve<undefined>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: access.decide,
    auditedWork: spooledWork(spool),
    probes: [hsmProbe(hsm), busProbe(bus)],
    registrations: [
      register(KeyringService, keyringPolicy, keyringHandlers(keyringKeys)),
      register(KeyGenerationService, keyGenerationPolicy, keyGenerationHandlers({ keyMaker, keyStore })),
      register(
        CryptographyService,
        cryptographyPolicy,
        cryptographyHandlers({ hsm, keyMaker, keyStore, decide: access.decide }),
        { batch: "useBatch", stream: "use" },
      ),
      register(CheckpointService, checkpointPolicy, checkpointHandlers(keyStore, settings.trustDomain)),
    ],
  });
  void makeSystemKeyring(keyringKeys, settings.trustDomain, warn);
}

function hsmProbe(hsm: Hsm): DependencyProbe {
  return probe("hsm", async () => {
    await hsm.random(8);
    return { version: hsm.describe() };
  });
}

/** The generator has no database: a record goes to the local spool before the answer goes out. */
function spooledWork(spool: AuditSpool): AuditedWork<undefined> {
  return {
    async run(work, record) {
      const result = await work(undefined);
      await spool.keep(record());
      return result;
    },
    keep: (record) => spool.keep(record),
    runUnrecorded: (work) => work(undefined),
  };
}

/** The keyring of Claviger's own keys, made once, as soon as storage answers. */
async function makeSystemKeyring(
  keyringKeys: KeyringKeys,
  trustDomain: string,
  warn: (what: string) => void,
): Promise<void> {
  const caller = serviceIdentity(trustDomain, service).uri;
  for (;;) {
    try {
      await keyringKeys.current("system");
      return;
    } catch (error) {
      if (!isDomainError(error, "not-found")) {
        warn(`storage does not answer yet: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
        continue;
      }
    }
    try {
      await keyringKeys.create("system", { caller, requestId: "", requestHash: new Uint8Array() });
    } catch (error) {
      if (isDomainError(error, "already-exists")) return;
      warn(`the system keyring could not be made: ${(error as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
    }
  }
}
