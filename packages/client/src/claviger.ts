import type { DescService } from "@bufbuild/protobuf";
import { DomainError } from "@claviger/domain-error";
import { serviceIdentity, TlsIdentity } from "@claviger/identity";
import { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { AuthorityService } from "@claviger/proto/distribution/v1/authority_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { DeliveryService } from "@claviger/proto/distribution/v1/delivery_pb.ts";
import { GroupKeyService } from "@claviger/proto/distribution/v1/group_pb.ts";
import { IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { PreSharedKeyService } from "@claviger/proto/distribution/v1/pre_shared_key_pb.ts";
import { ProfileService } from "@claviger/proto/distribution/v1/profile_pb.ts";
import { RecipientService } from "@claviger/proto/distribution/v1/recipient_pb.ts";
import { RowService as DistributionRowService } from "@claviger/proto/distribution/v1/rows_pb.ts";
import { SessionKeyService } from "@claviger/proto/distribution/v1/session_pb.ts";
import { TokenIssuerService } from "@claviger/proto/distribution/v1/token_issuer_pb.ts";
import { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import { CryptographyService, type OperationResult } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { RowService as RotationRowService } from "@claviger/proto/rotation/v1/rows_pb.ts";
import { type GetStatusResponse, StatusService } from "@claviger/proto/status/v1/status_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { ApprovalService } from "@claviger/proto/storage/v1/approval_pb.ts";
import { EmergencyService } from "@claviger/proto/storage/v1/emergency_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { PolicyService } from "@claviger/proto/storage/v1/policy_pb.ts";
import { PostureService } from "@claviger/proto/storage/v1/posture_pb.ts";
import { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import type { CallOptions } from "./call.ts";
import { type Addresses, findConfigFile, readConfigFile, type ServiceName } from "./config-file.ts";
import { type Operation, operationPipeline } from "./operation-pipeline.ts";
import { type Client, createServiceClient } from "./service-client.ts";
import { Transport } from "./transport.ts";

export interface ConfiguredOptions {
  /** The path of a `claviger.json`; left out, it is looked for as `findConfigFile` says. */
  config?: string | undefined;
  /** Of each call that does not say its own; 15 seconds where left out. */
  deadlineMilliseconds?: number;
}

export interface ExplicitOptions {
  trustDomain: string;
  addresses: Addresses;
  /** Holds key.pem, cert.pem and bundle.pem. */
  identityDirectory: string;
  deadlineMilliseconds?: number;
}

export type ClavigerOptions = ConfiguredOptions | ExplicitOptions;

/** Clients of everything that Claviger serves, each made at its first use. */
export interface Claviger extends Disposable {
  /** Who this process is; channels follow its renewals. */
  readonly identity: TlsIdentity;
  readonly trustDomain: string;
  readonly addresses: Addresses;
  readonly keys: Client<typeof KeyService>;
  readonly registry: Client<typeof RegistryService>;
  readonly access: Client<typeof AccessService>;
  readonly approvals: Client<typeof ApprovalService>;
  readonly policy: Client<typeof PolicyService>;
  readonly emergencies: Client<typeof EmergencyService>;
  readonly posture: Client<typeof PostureService>;
  readonly keyrings: Client<typeof KeyringService>;
  readonly keyGeneration: Client<typeof KeyGenerationService>;
  readonly cryptography: Client<typeof CryptographyService>;
  readonly backup: Client<typeof BackupService>;
  readonly identities: Client<typeof IdentityService>;
  readonly certificates: Client<typeof CertificateService>;
  readonly authorities: Client<typeof AuthorityService>;
  readonly profiles: Client<typeof ProfileService>;
  readonly tokenIssuers: Client<typeof TokenIssuerService>;
  readonly recipients: Client<typeof RecipientService>;
  readonly sessions: Client<typeof SessionKeyService>;
  readonly groups: Client<typeof GroupKeyService>;
  readonly preSharedKeys: Client<typeof PreSharedKeyService>;
  readonly deliveries: Client<typeof DeliveryService>;
  readonly rotation: Client<typeof RotationService>;
  readonly subscriptions: Client<typeof SubscriptionService>;
  /** Distribution's and rotation's own rows. */
  readonly distributionRows: Client<typeof DistributionRowService>;
  readonly rotationRows: Client<typeof RotationRowService>;
  readonly audit: Client<typeof AuditService>;
  /**
   * Many operations over one stream: what is ready together goes together, and results come as they finish, in
   * any order (`id` says whose). Neither side runs ahead of the other without bound.
   */
  pipeline(
    operations: AsyncIterable<Operation> | Iterable<Operation>,
    options?: CallOptions,
  ): AsyncIterable<OperationResult>;
  status(service: ServiceName, options?: CallOptions): Promise<GetStatusResponse>;
  close(): void;
}

/**
 * Claviger, as one identity sees it. Reads the identity's files at once and connects at the first call.
 * Close it, or declare it with `using`: open channels keep a process alive.
 *
 * @throws DomainError where the configuration or the identity's files are missing or malformed
 */
export function createClaviger(options: ClavigerOptions = {}): Claviger {
  const { trustDomain, addresses, identityDirectory } =
    "identityDirectory" in options ? options : readConfigFile(findConfigFile({ path: options.config }));
  const identity = loadIdentity(identityDirectory);
  const transports = new Map<string, Transport>();
  const { deadlineMilliseconds } = options;
  const defaults = deadlineMilliseconds === undefined ? {} : { deadlineMilliseconds };

  const transportTo = (service: ServiceName): Transport => {
    const address = addresses[service];
    if (address === undefined) throw noAddress(service);
    // By service too: behind one address each service must still show its own certificate.
    const place = `${service} ${address}`;
    const transport =
      transports.get(place) ??
      new Transport({ address, identity, serverIdentity: serviceIdentity(trustDomain, service).uri });
    transports.set(place, transport);
    return transport;
  };
  const clients = new Map<string, unknown>();
  const clientOf = <S extends DescService>(service: S, at: ServiceName): Client<S> => {
    const name = `${at} ${service.typeName}`;
    const client = clients.get(name) ?? createServiceClient(service, transportTo(at), defaults);
    clients.set(name, client);
    return client as Client<S>;
  };
  const close = (): void => {
    for (const transport of transports.values()) transport[Symbol.dispose]();
    transports.clear();
    clients.clear();
  };
  return {
    identity,
    trustDomain,
    addresses,
    get keys() {
      return clientOf(KeyService, "storage");
    },
    get registry() {
      return clientOf(RegistryService, "storage");
    },
    get access() {
      return clientOf(AccessService, "storage");
    },
    get approvals() {
      return clientOf(ApprovalService, "storage");
    },
    get policy() {
      return clientOf(PolicyService, "storage");
    },
    get emergencies() {
      return clientOf(EmergencyService, "storage");
    },
    get posture() {
      return clientOf(PostureService, "storage");
    },
    get keyrings() {
      return clientOf(KeyringService, "generator");
    },
    get keyGeneration() {
      return clientOf(KeyGenerationService, "generator");
    },
    get cryptography() {
      return clientOf(CryptographyService, "generator");
    },
    get backup() {
      return clientOf(BackupService, "generator");
    },
    get distributionRows() {
      return clientOf(DistributionRowService, "distribution");
    },
    get rotationRows() {
      return clientOf(RotationRowService, "rotation");
    },
    get identities() {
      return clientOf(IdentityService, "distribution");
    },
    get certificates() {
      return clientOf(CertificateService, "distribution");
    },
    get authorities() {
      return clientOf(AuthorityService, "distribution");
    },
    get profiles() {
      return clientOf(ProfileService, "distribution");
    },
    get tokenIssuers() {
      return clientOf(TokenIssuerService, "distribution");
    },
    get recipients() {
      return clientOf(RecipientService, "distribution");
    },
    get sessions() {
      return clientOf(SessionKeyService, "distribution");
    },
    get groups() {
      return clientOf(GroupKeyService, "distribution");
    },
    get preSharedKeys() {
      return clientOf(PreSharedKeyService, "distribution");
    },
    get deliveries() {
      return clientOf(DeliveryService, "distribution");
    },
    get rotation() {
      return clientOf(RotationService, "rotation");
    },
    get subscriptions() {
      return clientOf(SubscriptionService, "rotation");
    },
    get audit() {
      return clientOf(AuditService, "audit");
    },
    pipeline: (operations, callOptions = {}) =>
      operationPipeline(transportTo("generator"), operations, callOptions),
    status: async (service, callOptions) => clientOf(StatusService, service).getStatus({}, callOptions),
    close,
    [Symbol.dispose]: close,
  };
}

function loadIdentity(directory: string): TlsIdentity {
  try {
    return TlsIdentity.load(directory);
  } catch (cause) {
    const what = cause instanceof DomainError ? cause.message : `the identity in ${directory} is damaged`;
    throw new DomainError("failed-precondition", what, {
      hint: "`npm start` enrols this machine's administrator; elsewhere: claviger identities join --token-file F --out DIR",
      cause,
    });
  }
}

function noAddress(service: ServiceName): DomainError {
  return new DomainError("failed-precondition", `claviger.json names no address of ${service}`, {
    hint: 'add it under "addresses", or join again with --addresses-from a claviger.json that has all',
  });
}
