import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Transport } from "@claviger/client";
import { serviceIdentity } from "@claviger/identity";
import { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { RotationService, SubscriptionService } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { StatusService } from "@claviger/proto/status/v1/status_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { EmergencyService } from "@claviger/proto/storage/v1/emergency_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { PolicyService } from "@claviger/proto/storage/v1/policy_pb.ts";
import { PostureService } from "@claviger/proto/storage/v1/posture_pb.ts";
import { Metadata, status } from "@grpc/grpc-js";
import { beforeAll, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";
import { services } from "./attacker.ts";
import { Choices, fuzzedMessage } from "./fuzzer.ts";

const house = useInstallation();
/** CLAVIGER_FUZZ_REQUESTS=100000 for a long run. */
const requests = Number(process.env.CLAVIGER_FUZZ_REQUESTS ?? 3000);
const seed = Number(process.env.CLAVIGER_FUZZ_SEED ?? Date.now() % 1_000_000);
const inFlight = 48;

const targets: Record<(typeof services)[number], DescService[]> = {
  generator: [KeyringService, KeyGenerationService, CryptographyService, CheckpointService, StatusService],
  storage: [KeyService, AccessService, PolicyService, EmergencyService, PostureService, KeyMaterialService],
  distribution: [IdentityService, CertificateService],
  rotation: [RotationService, SubscriptionService],
  audit: [AuditService],
};

const leftOut = ["GrantRole", "RevokeRole", "RevokeIdentity", "SetPolicy", "RaiseFloor"];
const ring = unique("fuzz");
const names = [
  ring,
  `${ring}/aes`,
  `${ring}/ec`,
  `${ring}/kem`,
  `${ring}/mac`,
  `${ring}/new`,
  `${ring}/oaep`,
];

beforeAll(async () => {
  await house.claviger.keyrings.createKeyring({ name: ring });
  for (const [key, algorithm] of [
    ["aes", "aes-256-gcm"],
    ["ec", "ecdsa-p256"],
    ["kem", "ml-kem-768"],
    ["mac", "hmac-sha256"],
    ["oaep", "rsa-oaep-3072"],
  ] as const) {
    await house.claviger.keyGeneration.createKey({ name: `${ring}/${key}`, algorithm });
  }
});

function call(transport: Transport, method: DescMethod, request: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    transport.client.makeUnaryRequest(
      `/${method.parent.typeName}/${method.name}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      new Metadata(),
      { deadline: Date.now() + 20_000 },
      (error) => resolve(error?.code ?? status.OK),
    );
  });
}

test(`${requests} fuzzed requests over mTLS: no service ends, and none answers INTERNAL`, async () => {
  const choices = new Choices(seed);
  const before = services.map((service) => house.pidOf(service));
  const wrong = new Map<string, string>();
  const codes = new Map<number, number>();
  const all = services.flatMap((service) =>
    targets[service].flatMap((target) =>
      target.methods
        // Whoever may do everything under test stays who it is: alone, and with all of it.
        .filter(({ methodKind, name }) => methodKind === "unary" && !leftOut.includes(name))
        .map((method) => ({ service, method })),
    ),
  );
  const transports = new Map(
    services.map((service) => [
      service,
      new Transport({
        address: house.claviger.addresses[service]!,
        identity: house.claviger.identity,
        serverIdentity: serviceIdentity(house.trustDomain, service).uri,
      }),
    ]),
  );
  let sent = 0;
  const worker = async (): Promise<void> => {
    while (sent < requests) {
      sent += 1;
      const { method, service } = choices.of(all);
      const request = fuzzedMessage(method.input, choices, names);
      const code = await call(transports.get(service)!, method, request);
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (code === status.INTERNAL || code === status.UNKNOWN) {
        wrong.set(
          `${method.parent.typeName}/${method.name}`,
          Buffer.from(request).toString("hex").slice(0, 400),
        );
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  for (const transport of transports.values()) transport[Symbol.dispose]();
  console.info(`seed ${seed}: ${[...codes].map(([code, count]) => `${status[code]} ${count}`).join(", ")}`);
  expect([...wrong], `seed ${seed}`).toEqual([]);
  expect(services.map((service) => house.pidOf(service))).toEqual(before);
  // Else everything was refused at the door, and nothing behind it was tried.
  expect(codes.get(status.OK) ?? 0).toBeGreaterThan(requests / 50);
  const after = unique("after");
  await house.claviger.keyrings.createKeyring({ name: after });
  expect((await house.claviger.keys.listKeyrings({})).keyrings.length).toBeGreaterThan(0);
}, 900_000);
