import { once as onceEvent } from "node:events";
import { createLeasedAccess } from "@claviger/access";
import { createServiceClient, Transport } from "@claviger/client";
import type { Transaction } from "@claviger/database";
import { serviceIdentity } from "@claviger/identity";
import { AuthorityService } from "@claviger/proto/distribution/v1/authority_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { DeliveryService } from "@claviger/proto/distribution/v1/delivery_pb.ts";
import { GroupKeyService } from "@claviger/proto/distribution/v1/group_pb.ts";
import { EnrollmentService, IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { PreSharedKeyService } from "@claviger/proto/distribution/v1/pre_shared_key_pb.ts";
import { ProfileService } from "@claviger/proto/distribution/v1/profile_pb.ts";
import { RecipientService } from "@claviger/proto/distribution/v1/recipient_pb.ts";
import { RowService } from "@claviger/proto/distribution/v1/rows_pb.ts";
import { SessionKeyService } from "@claviger/proto/distribution/v1/session_pb.ts";
import { TokenIssuerService } from "@claviger/proto/distribution/v1/token_issuer_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { guardRows } from "@claviger/row-ledger";
import { register, ServerOnlyTlsCredentials, startRpcServer } from "@claviger/rpc";
import {
  createLogger,
  forgetRequestsByTheHour,
  internalErrorLogger,
  type Lifetime,
  openDatabaseService,
  runService,
  serve,
} from "@claviger/service";
import { RequestVerifier } from "@claviger/signed-request";
import { readCertificate } from "@claviger/x509";
import { Authorities } from "./authorities.ts";
import { inTurn, startRounds, subjectOf } from "./background.ts";
import { CaRotation } from "./ca-rotation.ts";
import { readConfig } from "./config.ts";
import type { DistributionContext } from "./context.ts";
import { inviteFirstAdministrator } from "./enrollment.ts";
import type { ExchangeContext } from "./exchange/context.ts";
import { GroupSignal } from "./exchange/group-signal.ts";
import { TicketChains } from "./exchange/ticket-chains.ts";
import { authorityHandlers } from "./handlers/authority.ts";
import { certificateHandlers } from "./handlers/certificate.ts";
import { deliveryHandlers } from "./handlers/delivery.ts";
import { groupHandlers } from "./handlers/group.ts";
import { enrollmentHandlers, identityHandlers } from "./handlers/identity.ts";
import { preSharedKeyHandlers } from "./handlers/pre-shared-key.ts";
import { profileHandlers } from "./handlers/profile.ts";
import { recipientHandlers } from "./handlers/recipient.ts";
import { rowHandlers } from "./handlers/rows.ts";
import { sessionHandlers } from "./handlers/session.ts";
import { tokenIssuerHandlers } from "./handlers/token-issuer.ts";
import { OcspService } from "./ocsp/ocsp-service.ts";
import { OcspPreparing } from "./ocsp/preparing.ts";
import { Responders } from "./ocsp/responders.ts";
import {
  authorityPolicy,
  certificatePolicy,
  deliveryPolicy,
  enrollmentPolicy,
  groupPolicy,
  identityPolicy,
  preSharedKeyPolicy,
  profilePolicy,
  recipientPolicy,
  rowPolicy,
  sessionPolicy,
  tokenIssuerPolicy,
} from "./policy.ts";
import { createPublicHttp } from "./public-http.ts";
import { publish, type Registry } from "./registry.ts";
import { settleRestored } from "./restored.ts";
import { RevocationLists } from "./revocation-lists.ts";
import { sealedTables } from "./sealed-tables.ts";
import { TrustSignal } from "./trust-signal.ts";

const service = "distribution";
const stopGraceMilliseconds = 3000;
const retryMilliseconds = 500;

const logger = createLogger(service);
await runService(logger, start);

async function start(lifetime: Lifetime): Promise<void> {
  const settings = readConfig(process.env);
  const { publicHttpAddress, serviceHosts, trustDomain } = settings;
  const open = (tx: Transaction): Registry => ({
    tx,
    sealer: guard.sealerOf(tx),
    now: new Date(),
    statusChanged: (serial) => tx.afterCommit(() => forget(serial)),
  });
  const parts = openDatabaseService({
    service,
    settings,
    logger,
    lifetime,
    onGap: () => {
      access.invalidate();
      ocsp.cache.doubt();
      lists.doubt();
    },
  });
  const { bus, database, identity, probes, warn, work } = parts;
  const guard = guardRows({
    directory: settings.directory,
    database,
    tables: sealedTables,
    namesSomebody: new Set([
      "identities",
      "enrollment_tokens",
      "recipients",
      "session_rules",
      "key_group_members",
    ]),
    publish: (tx, row, table) => publish(open(tx), "registry.row-changed", row, { table }),
    logger,
    warn,
    lifetime,
  });
  const inTransaction = <T>(action: (registry: Registry) => Promise<T>): Promise<T> =>
    database.transaction((tx) => action(open(tx)));

  const forgetting = forgetRequestsByTheHour(database, warn);
  lifetime.onStop("forgetting", () => forgetting[Symbol.asyncDispose]());

  const connect = (address: string, name: string): Transport =>
    new Transport({ address, identity, serverIdentity: serviceIdentity(trustDomain, name).uri });
  const toStorage = connect(settings.storageAddress, "storage");
  const storage = createServiceClient(AccessService, toStorage);
  const access = createLeasedAccess({ transport: toStorage, leaseMilliseconds: settings.leaseMilliseconds });
  bus.subscribe("claviger.events.storage.access.>", () => access.invalidate());
  const toGenerator = connect(settings.generatorAddress, "generator");
  const generator = {
    keys: createServiceClient(KeyGenerationService, toGenerator),
    cryptography: createServiceClient(CryptographyService, toGenerator),
    registry: createServiceClient(KeyService, toStorage),
  };

  const authorities = new Authorities({ inTransaction, generator });
  const lists = new RevocationLists({ authorities, inTransaction, onProgress: (what) => logger.info(what) });
  const responders = new Responders({ inTransaction, generator, trustDomain, publicHttpAddress });
  const ocsp = new OcspService({ authorities, responders, inTransaction, onTrouble: warn });
  const forget = (serial: string): void => {
    ocsp.cache.forget(serial);
    lists.doubt();
  };
  bus.subscribe("claviger.events.distribution.certificate.>", ({ data }) => forget(subjectOf(data)));
  const startedAt = new Date();
  const rotation = new CaRotation({
    authorities,
    inTransaction,
    generator,
    trustDomain,
    publicHttpAddress,
    issuingAlgorithms: settings.issuingAlgorithms,
    storage,
    startedAt,
    onProgress: (what) => logger.info(what),
  });
  await untilItWorks(warn, () => rotation.open());
  await untilItWorks(warn, () =>
    settleRestored({ directory: settings.directory, work, open, storage, trustDomain }),
  );
  const { firstAdministratorHash } = settings;
  if (firstAdministratorHash !== undefined) {
    await inTransaction((registry) =>
      inviteFirstAdministrator(registry, trustDomain, firstAdministratorHash),
    );
  }
  const signal = new TrustSignal(authorities);
  const shared: DistributionContext = {
    open,
    authorities,
    lists,
    storage,
    keys: generator.keys,
    trustDomain,
    publicHttpAddress,
    serviceHosts,
    startedAt,
    oldCertificates: () => rotation.oldCertificates,
    token: () => ({
      trustDomain,
      enrollmentAddress: settings.publicEnrollmentAddress,
      httpAddress: publicHttpAddress,
      rootSha256: readCertificate(authorities.root.row.certificate)
        .fingerprintSha256.toLowerCase()
        .replaceAll(":", ""),
    }),
  };

  const renewals = new GroupSignal();
  bus.subscribe("claviger.events.distribution.group.>", ({ data }) => renewals.hear(data));
  const exchange: ExchangeContext = {
    ...shared,
    distribute: createServiceClient(KeyDistributionService, toGenerator),
    chains: new TicketChains({ ...shared, issuing: () => authorities.issuing }),
    renewals,
    decide: access.decide,
    inTransaction,
    receipts: new RequestVerifier({ trustDomain, trustBundle: () => authorities.trustBundle }),
  };

  const http = createPublicHttp({ authorities, lists, ocsp, onTrouble: warn });
  await listenHttp(http, settings.httpListen);
  lifetime.onStop("public http", () => {
    http.closeAllConnections();
    http.close();
  });
  const enrollment = await startRpcServer<Transaction>({
    service,
    trustDomain,
    listen: settings.enrollmentListen,
    credentials: new ServerOnlyTlsCredentials(identity),
    callers: "anonymous",
    now: () => new Date(),
    authorize: async () => ({ allowed: true, reason: "the enrolment token decides" }),
    auditedWork: work,
    onInternalError: internalErrorLogger(logger),
    registrations: [register(EnrollmentService, enrollmentPolicy, enrollmentHandlers(shared))],
  });
  lifetime.onStop("enrolment", () => enrollment.stop(stopGraceMilliseconds));
  const rounds = startRounds({
    rotation,
    lists,
    preparing: new OcspPreparing({
      authorities,
      responders,
      cache: ocsp.cache,
      inTransaction,
      cryptography: generator.cryptography,
    }),
    warn,
    lifetime,
  });
  await serve<Transaction>({
    service,
    settings,
    identity,
    logger,
    lifetime,
    authorize: access.decide,
    claimApproval: access.claimApproval,
    auditedWork: inTurn(work),
    probes: [...probes, guard.probe],
    registrations: [
      register(RowService, rowPolicy, rowHandlers(guard)),
      register(IdentityService, identityPolicy, identityHandlers(shared)),
      register(CertificateService, certificatePolicy, certificateHandlers(shared)),
      register(
        AuthorityService,
        authorityPolicy,
        authorityHandlers({ ...shared, rotation, signal, poke: () => rounds.poke() }),
      ),
      register(TokenIssuerService, tokenIssuerPolicy, tokenIssuerHandlers(shared)),
      register(
        ProfileService,
        profilePolicy,
        profileHandlers({ ...shared, generator, poke: () => rounds.poke() }),
      ),
      register(RecipientService, recipientPolicy, recipientHandlers(exchange)),
      register(SessionKeyService, sessionPolicy, sessionHandlers(exchange)),
      register(GroupKeyService, groupPolicy, groupHandlers(exchange)),
      register(PreSharedKeyService, preSharedKeyPolicy, preSharedKeyHandlers(exchange)),
      register(DeliveryService, deliveryPolicy, deliveryHandlers(exchange)),
    ],
  });
  // Ended first: the server waits for nobody who only watches.
  lifetime.onStop("watchers", () => signal.close());
}

/** Its CA needs the generator, which may still be starting. */
async function untilItWorks<T>(warn: (what: string) => void, action: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      warn(`the CA waits for the generator: ${(error as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
    }
  }
}

async function listenHttp(server: ReturnType<typeof createPublicHttp>, listen: string): Promise<void> {
  const separator = listen.lastIndexOf(":");
  server.listen({ host: listen.slice(0, separator), port: Number(listen.slice(separator + 1)) });
  await onceEvent(server, "listening");
}
