import { randomUUID } from "node:crypto";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import type { TlsIdentity } from "@claviger/identity";
import type { ServiceName } from "@claviger/local";
import { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import {
  GetKeyMaterialRequestSchema,
  KeyMaterialService,
} from "@claviger/proto/storage/v1/key_material_pb.ts";
import { status } from "@grpc/grpc-js";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { addressOf, callRaw, expectCalmServices, freshKey, kindsOf } from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);
const message = Buffer.from("m");

let own = "";
let other = "";
let nobody: EnrolledClient;
let user: EnrolledClient;
let auditor: EnrolledClient;
beforeAll(async () => {
  own = await freshKey(house);
  other = await freshKey(house);
  nobody = await house.enrol(unique("nobody"));
  user = await house.enrol(unique("user"), "user", own.split("/")[0]!);
  auditor = await house.enrol(unique("auditor"), "auditor");
});

test("a caller without a role is refused everything that has a permission", async () => {
  const { access, audit, certificates, cryptography, identities, keyGeneration, keyrings, keys, rotation } =
    nobody;
  const calls: Promise<unknown>[] = [
    keyrings.createKeyring({ name: unique("ring") }),
    keyGeneration.createKey({ name: `${own}2`, algorithm: "aes-256-gcm" }),
    keyGeneration.createKeyVersion({ name: own }),
    keyGeneration.getPublicKey({ name: own }),
    cryptography.encrypt({ name: own, plaintext: message }),
    cryptography.decrypt({ name: own, ciphertext: message }),
    cryptography.sign({ name: own, message }),
    cryptography.verify({ name: own, message, signature: message }),
    cryptography.encryptBatch({ name: own, items: [{ plaintext: message }] }),
    cryptography.decryptBatch({ name: own, items: [{ ciphertext: message }] }),
    cryptography.signBatch({ name: own, messages: [message] }),
    cryptography.verifyBatch({ name: own, items: [] }),
    cryptography.generateRandom({ sizeBytes: 8 }),
    keys.listKeyrings({}),
    keys.getKeyring({ name: own.split("/")[0]! }),
    keys.listKeys({}),
    keys.listKeys({ keyring: own.split("/")[0]! }),
    keys.getKey({ name: own }),
    keys.listKeyVersions({ name: own }),
    keys.changeKeyState({ name: own, state: "suspended" }),
    keys.destroyKey({ name: own }),
    keys.restoreKey({ name: own }),
    keys.setRotationPeriod({ name: own, rotationPeriodSeconds: 3600n }),
    keys.placeHold({ name: own, reason: "x" }),
    keys.releaseHold({ name: own, holdId: randomUUID() }),
    access.listBindings({}),
    access.grantRole({ role: "administrator", identity: nobody.uri, resource: "*" }),
    access.revokeRole({ role: "administrator", identity: house.claviger.trustDomain, resource: "*" }),
    access.explainAccess({ identity: nobody.uri, permission: "keys.get", resource: own }),
    identities.createEnrollmentToken({ name: "user/administrator" }),
    identities.listIdentities({}),
    identities.getIdentity({ name: "user/administrator" }),
    identities.revokeIdentity({ name: "user/administrator" }),
    certificates.issueCertificate({ profile: "server" }),
    certificates.listCertificates({}),
    certificates.getCertificate({ serial: "01" }),
    certificates.revokeCertificate({ serial: "01" }),
    rotation.listRotationPolicies({}),
    rotation.planRotation({ name: own }),
    rotation.getRotationStatus({ name: own }),
    nobody.subscriptions.subscribe({ name: own }),
    nobody.subscriptions.listSubscribers({ name: own }),
    nobody.subscriptions.acknowledgeRotation({ name: own, version: 1 }),
    audit.searchRecords({}),
    audit.getInclusionProof({ sequence: 0n }),
    audit.getCheckpoint({}),
    nobody.status("storage"),
  ];
  const kinds = await kindsOf(calls);
  expect(kinds).toEqual(calls.map(() => "denied"));
});

test("a refusal is recorded with who was refused what, before the caller hears of it", async () => {
  const client = await house.enrol(unique("recorded"));
  await refusalOf(client.cryptography.decrypt({ name: own, ciphertext: message }));
  const { value } = await until(
    async () =>
      (await house.claviger.audit.searchRecords({ actor: client.uri, outcome: "refused" })).records.find(
        ({ leaf }) => leaf.includes("CryptographyService/Decrypt"),
      ),
    10_000,
  );
  expect(JSON.parse(value.leaf)).toMatchObject({
    resource: own,
    permission: "keys.decrypt",
    errorKind: "denied",
  });
});

test("a role on one keyring opens no other, however the name is written", async () => {
  const [keyring = ""] = own.split("/");
  const { ciphertext } = await user.cryptography.encrypt({ name: own, plaintext: message });
  for (const name of [
    other,
    `${keyring}/../${other}`,
    `${keyring}//${other}`,
    `${keyring}/./key`,
    `${other}/${keyring}`,
    `${keyring}x/key`,
    `${keyring}`,
    "",
    "*",
    "system/ca-issuing",
    `${keyring}/key\0`,
    `${keyring}/KEY`,
    ` ${own}`,
    `${keyring}\n/key`,
  ]) {
    const decrypted = await refusalOf(user.cryptography.decrypt({ name, ciphertext }));
    expect(["denied", "invalid-argument", "not-found"], name).toContain(decrypted.kind);
  }
  expect((await refusalOf(user.cryptography.encrypt({ name: other, plaintext: message }))).kind).toBe(
    "denied",
  );
  expect((await refusalOf(user.keys.listKeys({ keyring: other.split("/")[0]! }))).kind).toBe("denied");
  const seen = await user.keys.listKeys({});
  expect(seen.keys.filter(({ name }) => !name.startsWith(`${keyring}/`))).toEqual([]);
});

test("a keyring whose name begins with another's is another keyring", async () => {
  const short = unique("pay");
  for (const keyring of [short, `${short}ments`]) {
    await house.claviger.keyrings.createKeyring({ name: keyring });
    await house.claviger.keyGeneration.createKey({ name: `${keyring}/k`, algorithm: "aes-256-gcm" });
  }
  const client = await house.enrol(unique("pay"), "user", short);
  await client.cryptography.encrypt({ name: `${short}/k`, plaintext: message });
  const refusal = await refusalOf(
    client.cryptography.encrypt({ name: `${short}ments/k`, plaintext: message }),
  );
  expect(refusal.kind).toBe("denied");
});

test("a user and an auditor change nothing and grant nothing, least of all to themselves", async () => {
  for (const client of [user, auditor]) {
    for (const resource of ["*", own, own.split("/")[0]!, ""]) {
      const wanted = { role: "administrator", identity: client.uri, resource };
      expect((await refusalOf(client.access.grantRole(wanted))).kind).toBe("denied");
    }
    expect((await refusalOf(client.keys.destroyKey({ name: own }))).kind).toBe("denied");
    expect((await refusalOf(client.keyGeneration.createKeyVersion({ name: own }))).kind).toBe("denied");
    expect((await refusalOf(client.identities.createEnrollmentToken({ name: "x" }))).kind).toBe("denied");
  }
  expect((await refusalOf(auditor.cryptography.encrypt({ name: own, plaintext: message }))).kind).toBe(
    "denied",
  );
});

test("an administrator of one keyring administers that one", async () => {
  const [keyring = ""] = own.split("/");
  const local = await house.enrol(unique("local"), "administrator", keyring);
  await local.keys.changeKeyState({ name: own, state: "suspended" });
  await local.keys.changeKeyState({ name: own, state: "active" });
  for (const resource of ["*", other.split("/")[0]!, other, "system"]) {
    const wanted = { role: "administrator", identity: local.uri, resource };
    expect((await refusalOf(local.access.grantRole(wanted))).kind, resource).toBe("denied");
  }
  expect((await refusalOf(local.identities.createEnrollmentToken({ name: "x" }))).kind).toBe("denied");
  expect((await refusalOf(local.certificates.issueCertificate({ profile: "server" }))).kind).toBe("denied");
});

test.each(["system/ca-root", "system/ca-issuing", "system/audit-checkpoint"])(
  "an administrator looks at %s and can neither use, rotate, suspend, destroy nor grant it",
  async (name) => {
    const { access, cryptography, keyGeneration, keys } = house.claviger;
    expect((await keys.getKey({ name })).key?.state).toBe("active");
    const { uri } = nobody;
    const calls = [
      cryptography.sign({ name, message }),
      cryptography.signBatch({ name, messages: [message] }),
      cryptography.verify({ name, message, signature: message }),
      keyGeneration.createKeyVersion({ name }),
      keys.changeKeyState({ name, state: "suspended" }),
      keys.changeKeyState({ name, state: "compromised", version: 1 }),
      keys.destroyKey({ name }),
      keys.restoreKey({ name }),
      keys.setRotationPeriod({ name, rotationPeriodSeconds: 60n }),
      keys.placeHold({ name, reason: "mine" }),
      access.grantRole({ role: "user", identity: uri, resource: name }),
      access.grantRole({ role: "user", identity: uri, resource: "system" }),
      keyGeneration.createKey({ name: "system/ca-mine", algorithm: "ecdsa-p256" }),
    ];
    expect(await kindsOf(calls)).toEqual(calls.map(() => "denied"));
  },
);

test("no role is granted to a service, nor to anybody of another trust domain", async () => {
  for (const identity of [
    `spiffe://${house.trustDomain}/claviger/rotation`,
    "spiffe://elsewhere.example/user/administrator",
  ]) {
    const refusal = await refusalOf(
      house.claviger.access.grantRole({ role: "administrator", identity, resource: "*" }),
    );
    expect(refusal.kind).toBe("invalid-argument");
  }
});

const servicesOnly: [ServiceName, DescMethod][] = [
  ["storage", AccessService.method.decideAccess],
  ["storage", AccessService.method.recordRevocation],
  ...KeyMaterialService.methods.map((method): [ServiceName, DescMethod] => ["storage", method]),
  ...KeyDistributionService.methods.map((method): [ServiceName, DescMethod] => ["generator", method]),
  ["generator", CheckpointService.method.signCheckpoint],
];

test.each(servicesOnly.map(([at, method]) => [method.name, at, method] as const))(
  "an administrator's certificate does not reach %s of %s",
  async (_, at, method) => {
    const answer = await callRaw({
      address: addressOf(house, at),
      path: `/${method.parent.typeName}/${method.name}`,
      body: new Uint8Array(),
      credentials: house.claviger.identity.material,
    });
    expect(answer.code).toBe(status.PERMISSION_DENIED);
    expect(answer.kind).toBe("denied");
  },
);

test("a workload that is called like a service is a workload", async () => {
  const client = await house.enrol(unique("generator"), "administrator");
  const named = await house.enrol("workload/claviger/generator", "administrator");
  for (const { identity } of [client, named]) {
    const answer = await callRaw({
      address: addressOf(house, "storage"),
      path: `/${KeyMaterialService.typeName}/GetKeyMaterial`,
      body: toBinary(GetKeyMaterialRequestSchema, create(GetKeyMaterialRequestSchema, { name: own })),
      credentials: (identity as TlsIdentity).material,
    });
    expect(answer.kind).toBe("denied");
  }
});

test("a caller's key does not decrypt for somebody who may use another key of the same keyring alone", async () => {
  const [keyring = ""] = own.split("/");
  await house.claviger.keyGeneration.createKey({ name: `${keyring}/second`, algorithm: "aes-256-gcm" });
  const client = await house.enrol(unique("narrow"), "user", `${keyring}/second`);
  const { ciphertext } = await user.cryptography.encrypt({ name: own, plaintext: message });
  expect((await refusalOf(client.cryptography.decrypt({ name: own, ciphertext }))).kind).toBe("denied");
  const wrong = await refusalOf(client.cryptography.decrypt({ name: `${keyring}/second`, ciphertext }));
  expect(wrong.kind).toBe("integrity");
});

test("one caller's request_id does not answer another's request, nor the same caller's changed one", async () => {
  const [keyring = ""] = own.split("/");
  const requestId = randomUUID();
  const name = `${keyring}/${unique("once")}`;
  await house.claviger.keyGeneration.createKey({ requestId, name, algorithm: "aes-256-gcm" });
  const changed = await refusalOf(
    house.claviger.keyGeneration.createKey({ requestId, name: `${name}x`, algorithm: "aes-256-gcm" }),
  );
  expect(changed.kind).toBe("invalid-argument");
  const second = await house.enrol(unique("second"), "administrator", keyring);
  const repeated = await refusalOf(
    second.keyGeneration.createKey({ requestId, name, algorithm: "aes-256-gcm" }),
  );
  expect(repeated.kind).toBe("already-exists");
  const foreign = await refusalOf(
    nobody.keyGeneration.createKey({ requestId, name, algorithm: "aes-256-gcm" }),
  );
  expect(foreign.kind).toBe("denied");
});
