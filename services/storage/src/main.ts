import { existsSync } from "node:fs";
import { join } from "node:path";
import { createColumnCipher } from "@claviger/column-cipher";
import type { Database, Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { ApprovalService } from "@claviger/proto/storage/v1/approval_pb.ts";
import { EmergencyService } from "@claviger/proto/storage/v1/emergency_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { PolicyService } from "@claviger/proto/storage/v1/policy_pb.ts";
import { PostureService } from "@claviger/proto/storage/v1/posture_pb.ts";
import { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import { type Finding, Ledger, Tampering, tellingSealer } from "@claviger/row-ledger";
import { readSealKey, rowSealerFromFile } from "@claviger/row-seal";
import { register } from "@claviger/rpc";
import {
  createLogger,
  type DependencyProbe,
  forgetRequestsByTheHour,
  type Lifetime,
  type Logger,
  openDatabaseService,
  probe,
  Rounds,
  runService,
  serve,
} from "@claviger/service";
import { decideAccess } from "./access.ts";
import { concealWhatIsInClear } from "./concealment.ts";
import { readConfig } from "./config.ts";
import { claimUnderRules } from "./consent.ts";
import { bindFirstAdministrator } from "./first-administrator.ts";
import { accessHandlers } from "./handlers/access.ts";
import { approvalHandlers } from "./handlers/approval.ts";
import { emergencyHandlers, endOneExpired } from "./handlers/emergency.ts";
import { keyHandlers } from "./handlers/key.ts";
import { keyMaterialHandlers } from "./handlers/key-material.ts";
import { policyHandlers } from "./handlers/policy.ts";
import { postureHandlers } from "./handlers/posture.ts";
import { registryHandlers } from "./handlers/registry.ts";
import { Observations } from "./observations.ts";
import {
  accessPolicy,
  approvalPolicy,
  emergencyPolicy,
  keyMaterialPolicy,
  keyPolicy,
  policyPolicy,
  posturePolicy,
  registryPolicy,
} from "./policy.ts";
import { actOnOneDate, purgeOne } from "./purger.ts";
import { publish, type Registry } from "./registry.ts";
import { scanRegistry } from "./registry-scan.ts";
import { settleRestored } from "./restored.ts";
import { sealedTables } from "./sealed-tables.ts";
import { countEmergencies, type EmergencyRow } from "./store/emergencies.ts";

const service = "storage";
const purgeEveryMilliseconds = 5000;
const emergencyEveryMilliseconds = 2000;
/** They act by themselves wherever a key is read or used; this writes it down and tells of it. */
const datesEveryMilliseconds = 1000;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const { trustDomain } = settings;
  const plainSealer = rowSealerFromFile(settings.sealKeyPath);
  const tell = (finding: Finding): void => tampering.tell(finding);
  const sealer = tellingSealer(plainSealer, tell);
  const { database, identity, probes, warn, work } = openDatabaseService({
    service,
    settings,
    logger,
    lifetime,
  });
  const restored = join(settings.directory, "restored.json");
  const ledger = new Ledger(join(settings.directory, "ledger.db"), sealedTables, warn);
  lifetime.onStop("ledger", () => ledger[Symbol.dispose]());
  if (existsSync(restored)) ledger.forget();
  const actor = serviceIdentity(trustDomain, service).uri;
  const columns = createColumnCipher(readSealKey(settings.sealKeyPath));
  const open = (tx: Transaction): Registry => ({
    tx,
    sealer: ledger.noting(tx, sealer),
    columns,
    now: new Date(),
    actor,
    record: (record) => work.record(tx, record),
    ledger,
    tell,
  });

  const tampering = new Tampering({
    database,
    scan: () => scanRegistry({ database, ledger, sealer: plainSealer }),
    publish: (tx, row, table) => publish(open(tx), "registry.row-changed", row, { table }),
    namesSomebody: new Set(["role_bindings", "revocations", "group_members", "emergency_rules"]),
    onFinding: (table, row) => logger.error("a row was changed outside Claviger", { table, row }),
    onTrouble: warn,
  });
  lifetime.onStop("tampering", () => tampering[Symbol.asyncDispose]());
  await settleRestored({ directory: settings.directory, work, open, trustDomain });
  await concealWhatIsInClear({ work, open });
  const knownBefore = ledger.knowsAny("installation");
  await database.transaction((tx) => bindFirstAdministrator(open(tx), { knownBefore, trustDomain }));
  const onPurged = (name: string): void => logger.info("a key was destroyed", { name });
  const purging = new Rounds({
    everyMilliseconds: purgeEveryMilliseconds,
    work: () => purgeOne({ work, open, onPurged }),
    waiting: "purging waits",
    onTrouble: warn,
  });
  lifetime.onStop("purging", () => purging[Symbol.asyncDispose]());
  const emergencies = new Rounds({
    everyMilliseconds: emergencyEveryMilliseconds,
    work: () => endOneExpired({ database, open, onEmergency: emergencyLog(logger) }),
    waiting: "the end of an emergency waits to be told of",
    onTrouble: warn,
  });
  lifetime.onStop("emergencies", () => emergencies[Symbol.asyncDispose]());
  const observations = new Observations({ columns, database, onTrouble: warn });
  lifetime.onStop("observations", () => observations[Symbol.asyncDispose]());
  const dates = new Rounds({
    everyMilliseconds: datesEveryMilliseconds,
    work: () => actOnOneDate({ work, open }),
    waiting: "days of activation and expiry wait to be written down",
    onTrouble: warn,
  });
  lifetime.onStop("dates", () => dates[Symbol.asyncDispose]());
  const forgetting = forgetRequestsByTheHour(database, warn);
  lifetime.onStop("forgetting", () => forgetting[Symbol.asyncDispose]());

  await serve<Transaction>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: async (question) => {
      const decision = await database.transaction((tx) => decideAccess(open(tx), question));
      observations.note(question, decision);
      return decision;
    },
    claimApproval: (claim) => claimUnderRules({ database, open }, claim),
    auditedWork: work,
    probes: [...probes, registryProbe(tampering), emergencyProbe(database)],
    registrations: [
      register(KeyService, keyPolicy, keyHandlers(open)),
      register(
        AccessService,
        accessPolicy,
        accessHandlers({ database, open, trustDomain, observe: (...seen) => observations.note(...seen) }),
      ),
      register(PolicyService, policyPolicy, policyHandlers({ open, trustDomain })),
      register(
        EmergencyService,
        emergencyPolicy,
        emergencyHandlers({ open, trustDomain, onEmergency: emergencyLog(logger) }),
      ),
      register(PostureService, posturePolicy, postureHandlers(open)),
      register(ApprovalService, approvalPolicy, approvalHandlers({ database, open })),
      register(
        RegistryService,
        registryPolicy,
        registryHandlers({ database, ledger, sealer: plainSealer, trustDomain }),
      ),
      register(KeyMaterialService, keyMaterialPolicy, keyMaterialHandlers(open)),
    ],
  });
}

/** A line in the log at once. Who it is stands in the registry, for those who may read it. */
function emergencyLog(logger: Logger) {
  return (what: string, { expiresAt, id, resource, role }: EmergencyRow): void =>
    logger.warn(what, { id, role, resource, expiresAt: expiresAt.toISOString() });
}

function emergencyProbe(database: Database): DependencyProbe {
  return probe("emergencies", async () => {
    const { open, unreviewed } = await database.transaction((tx) => countEmergencies(tx, new Date()));
    const parts = [
      open > 0 ? `open: ${open}` : "",
      unreviewed > 0 ? `waiting for review: ${unreviewed}` : "",
    ];
    const told = parts.filter((part) => part !== "").join(", ");
    return { version: "", detail: told === "" ? "" : `${told}; claviger access emergency list` };
  });
}

function registryProbe(tampering: Tampering): DependencyProbe {
  return probe("registry", async () => ({ version: "", detail: tampering.report() }));
}
