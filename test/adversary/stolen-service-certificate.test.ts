import { randomBytes, verify } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { ServiceName } from "@claviger/local";
import { AuditService } from "@claviger/proto/audit/v1/audit_pb.ts";
import { CertificateService } from "@claviger/proto/distribution/v1/certificate_pb.ts";
import { IdentityService } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { KeyGenerationService, KeyringService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import {
  clientAs,
  expectCalmServices,
  freshKey,
  keepCredentials,
  kindsOf,
  stolenDirectory,
  trustBundleOf,
} from "./attacker.ts";
import { requestFor } from "./hostile-csr.ts";

const house = useInstallation();
expectCalmServices(house);
const message = Buffer.from("to be signed");

/** Every client that a thief of this service's certificate can make. */
function thief(service: ServiceName | "nats") {
  const directory = stolenDirectory(house, service);
  return {
    material: clientAs(house, directory, KeyMaterialService, "storage"),
    keys: clientAs(house, directory, KeyService, "storage"),
    access: clientAs(house, directory, AccessService, "storage"),
    cryptography: clientAs(house, directory, CryptographyService, "generator"),
    keyGeneration: clientAs(house, directory, KeyGenerationService, "generator"),
    keyrings: clientAs(house, directory, KeyringService, "generator"),
    checkpoints: clientAs(house, directory, CheckpointService, "generator"),
    certificates: clientAs(house, directory, CertificateService, "distribution"),
    identities: clientAs(house, directory, IdentityService, "distribution"),
    audit: clientAs(house, directory, AuditService, "audit"),
  };
}

const uri = `spiffe://${house.trustDomain}/workload/thief`;

test.each(["storage", "distribution", "rotation", "audit", "nats"] as const)(
  "whoever steals the certificate of %s reads no material, uses nobody's key, and gives nobody power",
  async (service) => {
    const { access, audit, certificates, cryptography, identities, keyGeneration, keyrings, keys, material } =
      thief(service);
    const name = await freshKey(house);
    const calls = [
      material.getKeyMaterial({ name }),
      material.listKeyringGenerations({ keyring: name.split("/")[0]! }),
      material.createKey({ name: `${name}2`, original: { caller: house.claviger.trustDomain } }),
      material.addKeyVersion({ name }),
      material.createKeyring({ name: unique("ring") }),
      cryptography.encrypt({ name, plaintext: message }),
      cryptography.decrypt({ name, ciphertext: message }),
      cryptography.sign({ name, message }),
      cryptography.generateRandom({ sizeBytes: 8 }),
      keyGeneration.createKey({ name: `${name}2`, algorithm: "aes-256-gcm" }),
      keyGeneration.createKeyVersion({ name }),
      keyrings.createKeyring({ name: unique("ring") }),
      keys.destroyKey({ name }),
      keys.changeKeyState({ name, state: "suspended" }),
      keys.setRotationPeriod({ name, rotationPeriodSeconds: 60n }),
      keys.placeHold({ name, reason: "x" }),
      access.grantRole({ role: "administrator", identity: uri, resource: "*" }),
      access.revokeRole({ role: "administrator", identity: uri, resource: "*" }),
      access.listBindings({}),
      identities.createEnrollmentToken({ name: "user/administrator" }),
      identities.revokeIdentity({ name: "user/administrator" }),
      certificates.issueCertificate({ profile: "workload" }),
      certificates.revokeCertificate({ serial: "01" }),
      audit.searchRecords({}),
    ];
    expect(await kindsOf(calls)).toEqual(calls.map(() => "denied"));
    expect((await house.claviger.keys.getKey({ name })).key).toMatchObject({
      currentVersion: 1,
      state: "active",
    });
  },
);

test.each(["storage", "generator", "distribution", "rotation", "nats"] as const)(
  "whoever steals the certificate of %s signs no checkpoint",
  async (service) => {
    const { checkpoints } = thief(service);
    const request = { origin: `${house.trustDomain}/audit`, size: 1n, root: randomBytes(32) };
    expect((await refusalOf(checkpoints.signCheckpoint(request))).kind).toBe("denied");
  },
);

test.each(["storage", "generator", "rotation", "audit", "nats"] as const)(
  "whoever steals the certificate of %s neither revokes nor forgives",
  async (service) => {
    const { access } = thief(service);
    expect((await refusalOf(access.recordRevocation({ identity: uri, revoked: true }))).kind).toBe("denied");
    expect((await refusalOf(access.recordRevocation({ identity: uri, revoked: false }))).kind).toBe("denied");
  },
);

test.each(["storage", "generator", "rotation", "audit", "nats"] as const)(
  "whoever steals the certificate of %s does not sign with a CA's key",
  async (service) => {
    const { cryptography } = thief(service);
    for (const name of ["system/ca-root", "system/ca-issuing"]) {
      expect((await refusalOf(cryptography.sign({ name, message }))).kind).toBe("denied");
      expect((await refusalOf(cryptography.signBatch({ name, messages: [message] }))).kind).toBe("denied");
    }
  },
);

test("rotation's certificate rotates no key before its day, and no key that has none", async () => {
  const { keyGeneration } = thief("rotation");
  for (const rotationPeriodSeconds of [0n, 3600n]) {
    const name = await freshKey(house, { rotationPeriodSeconds });
    for (const expectedCurrentVersion of [0, 1]) {
      const refusal = await refusalOf(keyGeneration.createKeyVersion({ name, expectedCurrentVersion }));
      expect(refusal.kind).toBe("denied");
    }
    expect((await house.claviger.keys.getKey({ name })).key?.currentVersion).toBe(1);
  }
  expect((await refusalOf(keyGeneration.createKeyVersion({ name: "system/ca-root" }))).kind).toBe("denied");
});

test("distribution's certificate signs with the CA keys and with nothing else, and cannot end or rotate them", async () => {
  const { cryptography, keyGeneration, keys } = thief("distribution");
  const signing = await freshKey(house, { algorithm: "ecdsa-p256" });
  expect((await cryptography.sign({ name: "system/ca-issuing", message })).signature.length).toBeGreaterThan(
    8,
  );
  for (const name of [
    signing,
    "system/audit-checkpoint",
    "system/attestation",
    "system/cax",
    "system/ca-../audit-checkpoint",
  ]) {
    const refusal = await refusalOf(cryptography.sign({ name, message }));
    expect(["denied", "invalid-argument"], name).toContain(refusal.kind);
  }
  const calls = [
    keys.destroyKey({ name: "system/ca-issuing" }),
    keys.changeKeyState({ name: "system/ca-issuing", state: "suspended" }),
    keyGeneration.createKeyVersion({ name: "system/ca-issuing" }),
    cryptography.verify({ name: "system/ca-issuing", message, signature: message }),
    cryptography.signBatch({ name: signing, messages: [message] }),
  ];
  expect(await kindsOf(calls)).toEqual(calls.map(() => "denied"));
});

test("distribution's certificate releases no hold but its own, and audit's key stays held", async () => {
  const { keys } = thief("distribution");
  const { key } = await house.claviger.keys.getKey({ name: "system/audit-checkpoint" });
  expect(key?.holds).toHaveLength(1);
  const holdId = key!.holds[0]!.id;
  expect((await refusalOf(keys.releaseHold({ name: "system/audit-checkpoint", holdId }))).kind).toBe(
    "denied",
  );
  expect((await refusalOf(keys.releaseHold({ name: "system/ca-root", holdId }))).kind).toBe("not-found");
});

test("audit's certificate gets checkpoints signed and no bytes of its own choice", async () => {
  const { checkpoints, cryptography, keyGeneration } = thief("audit");
  expect((await refusalOf(cryptography.sign({ name: "system/audit-checkpoint", message }))).kind).toBe(
    "denied",
  );
  expect((await refusalOf(cryptography.sign({ name: "system/ca-root", message }))).kind).toBe("denied");
  expect((await refusalOf(keyGeneration.createKeyVersion({ name: "system/audit-checkpoint" }))).kind).toBe(
    "denied",
  );
  const root = randomBytes(32);
  for (const [origin, badRoot, size] of [
    ["", root, 1n],
    ["two\nlines", root, 1n],
    ["a\0b", root, 1n],
    ["x", randomBytes(31), 1n],
    ["x", randomBytes(64), 1n],
    ["x", new Uint8Array(), 1n],
    ["x", root, 2n ** 63n],
    ["x", root, 0n],
  ] as const) {
    const refusal = await refusalOf(checkpoints.signCheckpoint({ origin, root: badRoot, size }));
    expect(refusal, JSON.stringify(origin)).toBeInstanceOf(DomainError);
    expect(refusal.kind, JSON.stringify(origin)).toBe("invalid-argument");
  }
});

test("a checkpoint's key signs this log's checkpoints alone, so that no other log's can be had from it", async () => {
  const { checkpoints } = thief("audit");
  const request = { origin: "elsewhere.example/another-log", size: 7n, root: randomBytes(32) };
  const outcome = await checkpoints.signCheckpoint(request).then(
    ({ signature, subjectPublicKeyInfo }) => {
      const text = `${request.origin}\n7\n${request.root.toString("base64")}\n`;
      const key = { key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" } as const;
      return verify("sha256", Buffer.from(text), key, signature) ? "signed" : "nonsense";
    },
    (error: DomainError) => error.kind,
  );
  expect(["denied", "invalid-argument"]).toContain(outcome);
});

test("a certificate that a thief renewed stops working within a second of its serial's revocation", async () => {
  const directory = stolenDirectory(house, "nats");
  using renewing = clientAs(house, directory, CertificateService, "distribution");
  const { csr, key } = requestFor([]);
  const { certificateChain, serial } = await renewing.renewCertificate({ certificateSigningRequest: csr });
  const kept = keepCredentials(house, {
    key: key.export({ type: "pkcs8", format: "pem" }).toString(),
    certificateChain,
    trustBundle: trustBundleOf(house),
  });
  using thieving = clientAs(house, kept, CertificateService, "distribution");
  await thieving.getTrustBundle({});
  await house.claviger.certificates.revokeCertificate({ serial, reason: "keyCompromise" });
  const { milliseconds } = await until(
    async () => (await refusalOf(thieving.getTrustBundle({}))).kind === "denied",
    5000,
  );
  expect(milliseconds).toBeLessThan(1000);
});
