import { createLeasedAccess, refuseSilence } from "@claviger/access";
import { AuditSpool } from "@claviger/audit-sink";
import { type Bus, openBus } from "@claviger/bus";
import { createServiceClient, Transport } from "@claviger/client";
import { serviceIdentity, TlsIdentity } from "@claviger/identity";
import { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
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
import { RequestVerifier } from "@claviger/signed-request";
import { Attester } from "./attester.ts";
import { ceremonyRecord } from "./ceremony/ceremony-record.ts";
import {
  type CeremonyTranscript,
  requireGenuine,
  requireTranscript,
  rightToken,
} from "./ceremony/transcript.ts";
import { readConfig } from "./config.ts";
import { DestroyedKeys } from "./destroyed-keys.ts";
import { destructionRecord } from "./destruction-record.ts";
import type { SignedRecord } from "./generation-record.ts";
import { backupHandlers } from "./handlers/backup.ts";
import { checkpointHandlers } from "./handlers/checkpoint.ts";
import { cryptographyHandlers } from "./handlers/cryptography.ts";
import { keyDistributionHandlers } from "./handlers/key-distribution.ts";
import { keyGenerationHandlers, keyringHandlers } from "./handlers/key-generation.ts";
import { announceRandomnessFailure } from "./health/failure-event.ts";
import { Health } from "./health/health.ts";
import { runHsmSelfTests } from "./health/hsm-self-tests.ts";
import { runSelfTests } from "./health/self-tests.ts";
import { TestedRandom } from "./health/tested-random.ts";
import { openPkcs11Hsm } from "./hsm/pkcs11-hsm.ts";
import type { Hsm } from "./hsm/port.ts";
import { ImportDesk } from "./import-desk.ts";
import { followEvents } from "./invalidation.ts";
import { KeyMaker } from "./key-maker.ts";
import { KeyStore } from "./key-store.ts";
import { KeyringKeys } from "./keyring-keys.ts";
import { MaterialMaker } from "./material-maker.ts";
import { collectNow } from "./mechanisms/collection.ts";
import {
  backupPolicy,
  checkpointPolicy,
  cryptographyPolicy,
  keyDistributionPolicy,
  keyGenerationPolicy,
  keyringPolicy,
} from "./policy.ts";
import { requireFit } from "./profile.ts";
import { Rewrapper } from "./rewrapper.ts";
import { ensureSystemKeys } from "./system-keys.ts";
import { UseReports } from "./use-reports.ts";

const service = "generator";

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const warn = limitedWarnings(logger);
  const identity = TlsIdentity.load(settings.tlsDirectory);
  const transcript = requireTranscript(settings.directory);
  const hsm = openPkcs11Hsm({ ...settings, serial: rightToken(transcript), onTrouble: warn });
  lifetime.onStop("hsm", () => hsm[Symbol.asyncDispose]());
  /** Read each time: the recovery key may get another's place while this runs. */
  const ceremony = async (): Promise<CeremonyTranscript> => {
    const now = requireTranscript(settings.directory);
    await requireGenuine(now, (data) => hsm.bindingMac(data));
    return now;
  };
  await ceremony();
  requireFit(settings.profile, { hsm: hsm.describe(), trustDomain: settings.trustDomain });

  const toStorage = new Transport({
    address: settings.storageAddress,
    identity,
    serverIdentity: serviceIdentity(settings.trustDomain, "storage").uri,
  });
  const storage = createServiceClient(KeyMaterialService, toStorage, { deadlineMilliseconds: 5000 });
  const { leaseMilliseconds } = settings;
  const access = createLeasedAccess({ transport: toStorage, leaseMilliseconds });
  const keyringKeys = new KeyringKeys({ hsm, storage, leaseMilliseconds });
  const onTrouble = (error: unknown): void => warn(describeError(error));
  let announcing: Bus | undefined;
  const random = new TestedRandom(hsm, (failure) => {
    logger.error("the HSM's random source failed: nothing is generated", { failure });
    void announceRandomnessFailure(() => announcing, failure);
  });
  const health = new Health(random, {
    software: await runSelfTests(),
    hsm: await runHsmSelfTests(hsm),
  });
  const now = (): Date => new Date();
  const keyStore = new KeyStore({ hsm, storage, keyringKeys, leaseMilliseconds, health, now, onTrouble });
  lifetime.onStop("keys", () => {
    keyStore[Symbol.dispose]();
    collectNow();
  });
  hsm.onReturn(() => keyStore.invalidateAll());
  const uses = new UseReports({ storage, now, onTrouble: warn });
  lifetime.onStop("reports of uses", () => uses[Symbol.asyncDispose]());
  const attester = new Attester(keyStore);
  const materials = new MaterialMaker({ hsm, keyringKeys, attester, random, health, now, onTrouble });
  const keyMaker = new KeyMaker({
    storage,
    keyringKeys,
    keyStore,
    materials,
    admitLegacy: settings.admitLegacy,
  });

  const attestCeremony = async (): Promise<SignedRecord> => {
    const { trustDomain } = settings;
    return attester.sign(
      ceremonyRecord(await ceremony(), { trustDomain, module: hsm.describe(), time: now() }),
    );
  };

  const attestDestruction = async (name: string): Promise<SignedRecord> => {
    const found = await storage.getDestruction({ name }).catch(refuseSilence);
    const { trustDomain } = settings;
    const about = { trustDomain, module: hsm.describe(), leaseMilliseconds, time: now() };
    return attester.sign(destructionRecord(name, found, about));
  };

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
  announcing = bus;
  lifetime.onStop("bus", () => bus[Symbol.asyncDispose]());
  const rewrapper = new Rewrapper({ hsm, storage, keyringKeys, onTrouble: warn });
  lifetime.onStop("rewrapping", () => rewrapper[Symbol.asyncDispose]());
  const onKeyringRotated = (keyring: string | undefined): void => {
    keyringKeys.invalidate(keyring);
    rewrapper.poke();
  };
  const destroyed = new DestroyedKeys({ storage, listen: settings.listen, onTrouble: warn });
  const onDestroyed = (name: string): void => destroyed.add(name);
  followEvents({ bus, keyStore, access, onKeyringRotated, onDestroyed });
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
    claimApproval: access.claimApproval,
    auditedWork: spooledWork(spool),
    probes: [hsmProbe(hsm, random), busProbe(bus), healthProbe(health)],
    registrations: [
      register(KeyringService, keyringPolicy, keyringHandlers(keyringKeys, attestCeremony)),
      register(
        KeyGenerationService,
        keyGenerationPolicy,
        keyGenerationHandlers({
          keyMaker,
          keyStore,
          storage,
          uses,
          desk: new ImportDesk({ hsm, keyringKeys, storage, now }),
          attestDestruction,
        }),
      ),
      register(
        CryptographyService,
        cryptographyPolicy,
        cryptographyHandlers({ hsm, random, keyStore, uses, decide: access.decide }),
        { batch: "useBatch", stream: "use" },
      ),
      register(
        BackupService,
        backupPolicy,
        backupHandlers({
          hsm,
          random,
          attester,
          storage,
          transcript: ceremony,
          trustDomain: settings.trustDomain,
          now,
        }),
      ),
      register(
        KeyDistributionService,
        keyDistributionPolicy,
        keyDistributionHandlers({
          keyStore,
          random,
          bindingMac: (data) => hsm.bindingMac(data),
          verifier: new RequestVerifier({
            trustDomain: settings.trustDomain,
            trustBundle: () => identity.material.trustBundle,
          }),
          decide: access.decide,
          now,
        }),
      ),
      register(CheckpointService, checkpointPolicy, checkpointHandlers(keyStore, settings.trustDomain)),
    ],
  });
  void ensureSystemKeys({
    keyringKeys,
    keyMaker,
    registry: createServiceClient(KeyService, toStorage),
    caller: serviceIdentity(settings.trustDomain, service).uri,
    warn,
  });
}

function hsmProbe(hsm: Hsm, random: TestedRandom): DependencyProbe {
  return probe("hsm", async () => {
    await random.requireHealthy();
    return { version: hsm.describe() };
  });
}

/** The known-answer tests and the random source's. */
function healthProbe(health: Health): DependencyProbe {
  return probe("self-tests", async () => {
    health.report();
    return { version: `OpenSSL ${process.versions.openssl}` };
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
