import { create, type DescMethod, type DescService } from "@bufbuild/protobuf";
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
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { RowService as RotationRowService } from "@claviger/proto/rotation/v1/rows_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { ApprovalService } from "@claviger/proto/storage/v1/approval_pb.ts";
import { EmergencyService } from "@claviger/proto/storage/v1/emergency_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { PolicyService } from "@claviger/proto/storage/v1/policy_pb.ts";
import { PostureService } from "@claviger/proto/storage/v1/posture_pb.ts";
import { RegistryService } from "@claviger/proto/storage/v1/registry_pb.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicyRow } from "../../packages/rpc/src/policy.ts";
import * as audit from "../../services/audit/src/policy.ts";
import * as distribution from "../../services/distribution/src/policy.ts";
import * as generator from "../../services/generator/src/policy.ts";
import * as rotation from "../../services/rotation/src/policy.ts";
import * as storage from "../../services/storage/src/policy.ts";
import { roles } from "../../services/storage/src/roles.ts";
import { clientAs } from "../adversary/attacker.ts";
import { type EnrolledClient, unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();

type AnyRow = PolicyRow<never>;
type At = "storage" | "generator" | "distribution" | "rotation" | "audit";

/** Everything that the services' own listener serves, with the rows that decide about it. */
const served: readonly [At, DescService, Readonly<Record<string, AnyRow>>][] = [
  ["storage", KeyService, storage.keyPolicy],
  ["storage", AccessService, storage.accessPolicy],
  ["storage", ApprovalService, storage.approvalPolicy],
  ["storage", PolicyService, storage.policyPolicy],
  ["storage", EmergencyService, storage.emergencyPolicy],
  ["storage", PostureService, storage.posturePolicy],
  ["storage", RegistryService, storage.registryPolicy],
  ["storage", KeyMaterialService, storage.keyMaterialPolicy],
  ["generator", KeyringService, generator.keyringPolicy],
  ["generator", KeyGenerationService, generator.keyGenerationPolicy],
  ["generator", CryptographyService, generator.cryptographyPolicy],
  ["generator", BackupService, generator.backupPolicy],
  ["generator", CheckpointService, generator.checkpointPolicy],
  ["generator", KeyDistributionService, generator.keyDistributionPolicy],
  ["distribution", IdentityService, distribution.identityPolicy],
  ["distribution", CertificateService, distribution.certificatePolicy],
  ["distribution", DistributionRowService, distribution.rowPolicy],
  ["distribution", AuthorityService, distribution.authorityPolicy],
  ["distribution", ProfileService, distribution.profilePolicy],
  ["distribution", TokenIssuerService, distribution.tokenIssuerPolicy],
  ["distribution", RecipientService, distribution.recipientPolicy],
  ["distribution", SessionKeyService, distribution.sessionPolicy],
  ["distribution", GroupKeyService, distribution.groupPolicy],
  ["distribution", PreSharedKeyService, distribution.preSharedKeyPolicy],
  ["distribution", DeliveryService, distribution.deliveryPolicy],
  ["rotation", RotationService, rotation.rotationPolicy],
  ["rotation", SubscriptionService, rotation.subscriptionPolicy],
  ["rotation", RotationRowService, rotation.rowPolicy],
  ["audit", AuditService, audit.auditPolicy],
];
const roleNames = ["administrator", "user", "auditor"] as const;
const holders = [...roleNames, "nobody"] as const;
type Holder = (typeof holders)[number];

/** What a handler asks for besides, of the key that is wrapped. */
const besides: Readonly<Record<string, string>> = { "CryptographyService/WrapKey": "keys.export" };

/** A list is of what one's roles reach, and one without a role reaches nothing. */
function permits(row: AnyRow, holder: Holder, rpc: string): boolean {
  if (rpc === "KeyService/ListKeyrings" && holder === "nobody") return false;
  if (row.callers !== "anyone") return false;
  if (row.permission === undefined) return true;
  if (holder === "nobody") return false;
  const held: readonly string[] = roles[holder].permissions;
  const more = besides[rpc];
  return held.includes(row.permission) && (more === undefined || held.includes(more));
}

/** docs/permissions.md: the policy tables of code, for people. */
function permissionsDocument(): string {
  const heading = ["RPC", "permission", ...roleNames];
  const rows = served.flatMap(([, service, policy]) =>
    service.methods.map((method) => {
      const row = policy[method.localName]!;
      const rpc = `${service.name}/${method.name}`;
      const asked = [row.permission, besides[rpc]].filter((name) => name !== undefined).join(", ");
      const permission = row.callers === "anyone" ? asked : `services: ${row.callers.join(", ")}`;
      return [`\`${rpc}\``, permission, ...roleNames.map((role) => (permits(row, role, rpc) ? "yes" : ""))];
    }),
  );
  const widths = heading.map((_, at) => Math.max(...[heading, ...rows].map((cells) => cells[at]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  return `${[
    "# Permissions",
    "",
    "Made from the policy tables of the services; `test/e2e/roles.test.ts` keeps both alike, calls every one of these",
    "over mTLS in each role and in none, and with `-u` writes this. An RPC without a permission is for every identity",
    "that is not revoked: about itself, or about what is public.",
    "",
    line(heading),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map(line),
  ].join("\n")}\n`;
}

test("docs/permissions.md says what the policy tables say", async () => {
  await expect(permissionsDocument()).toMatchFileSnapshot("../../docs/permissions.md");
});

/** On what cannot be there: who is let in is refused for that, and nothing has happened. */
function harmless(method: DescMethod): object {
  const request = create(method.input) as unknown as Record<string, unknown>;
  for (const { localName } of method.input.fields) {
    if (["name", "keyring", "resource", "identity", "serial"].includes(localName))
      request[localName] = "Not A Name";
  }
  return request;
}

async function isDenied(client: Record<string, unknown>, method: DescMethod): Promise<boolean> {
  const call = client[method.localName] as (request: unknown, options: object) => unknown;
  if (method.methodKind === "unary") return kindOf(call(harmless(method), {}) as Promise<unknown>);
  const signal = AbortSignal.timeout(300);
  const request = method.methodKind === "bidi_streaming" ? [] : harmless(method);
  const all = async (): Promise<void> => {
    for await (const _ of call(request, { signal }) as AsyncIterable<unknown>) return;
  };
  return kindOf(all());
}

async function kindOf(call: Promise<unknown>): Promise<boolean> {
  const ended = call.then(() => false);
  const refused = refusalOf(call).then(({ kind }) => kind === "denied");
  return Promise.race([ended.catch(() => refused), refused.catch(() => ended)]);
}

describe.each(holders)("over mTLS, %s", (holder) => {
  let identity: EnrolledClient;
  beforeAll(async () => {
    identity = await house.enrol(unique(holder), holder === "nobody" ? undefined : holder, "*");
  });

  // Another test counts administrators.
  afterAll(async () => {
    if (holder === "nobody") return;
    await house.claviger.access.revokeRole({ role: holder, identity: identity.uri, resource: "*" });
  });

  test.each(served.map(([at, service, policy]) => [at, service.name, service, policy] as const))(
    "at %s: %s",
    async (at, _, service, policy) => {
      using client = clientAs(house, identity.directory, service, at);
      const wrong: string[] = [];
      for (const method of service.methods) {
        const denied = await isDenied(client as unknown as Record<string, unknown>, method);
        const rpc = `${service.name}/${method.name}`;
        if (denied === permits(policy[method.localName]!, holder, rpc)) {
          wrong.push(`${rpc} is ${denied ? "denied" : "let in"}`);
        }
      }
      expect(wrong).toEqual([]);
    },
  );
});
