import { createHash, randomBytes, randomUUID } from "node:crypto";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ServiceName } from "@claviger/local";
import { SearchRecordsRequestSchema } from "@claviger/proto/audit/v1/audit_pb.ts";
import { ListIdentitiesRequestSchema } from "@claviger/proto/distribution/v1/identity_pb.ts";
import { DecryptRequestSchema, EncryptRequestSchema } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import { ListRotationPoliciesRequestSchema } from "@claviger/proto/rotation/v1/rotation_pb.ts";
import { GetKeyRequestSchema } from "@claviger/proto/storage/v1/key_pb.ts";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { addressOf, callRaw, expectCalmServices, freshKey, services, type WireAnswer } from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);
const { access, audit, certificates, cryptography, identities, keyGeneration, keyrings, keys, rotation } =
  house.claviger;
const plaintext = Buffer.from("plaintext of the hostile tests");
const associatedData = Buffer.from("bound");

let name = "";
let inHsm = "";
let ciphertext: Buffer;
let ciphertextOfHsm: Buffer;
let user: EnrolledClient;
beforeAll(async () => {
  name = await freshKey(house);
  inHsm = await freshKey(house, { protection: "hsm" });
  ciphertext = Buffer.from((await cryptography.encrypt({ name, plaintext, associatedData })).ciphertext);
  const sealed = await cryptography.encrypt({ name: inHsm, plaintext, associatedData });
  ciphertextOfHsm = Buffer.from(sealed.ciphertext);
  user = await house.enrol(unique("hostile"), "user");
});

function send(service: ServiceName, path: string, body: Uint8Array): Promise<WireAnswer> {
  return callRaw({ address: addressOf(house, service), path, body, credentials: user.identity.material });
}

/** A real request of each service, to be broken. */
const requests: [ServiceName, string, () => Uint8Array][] = [
  [
    "generator",
    "/claviger.generator.v1.CryptographyService/Decrypt",
    () => encoded(DecryptRequestSchema, { name, ciphertext, associatedData }),
  ],
  ["storage", "/claviger.storage.v1.KeyService/GetKey", () => encoded(GetKeyRequestSchema, { name })],
  [
    "distribution",
    "/claviger.distribution.v1.IdentityService/ListIdentities",
    () => encoded(ListIdentitiesRequestSchema, { pageSize: 10, pageToken: "abc" }),
  ],
  [
    "rotation",
    "/claviger.rotation.v1.RotationService/ListRotationPolicies",
    () => encoded(ListRotationPoliciesRequestSchema, { pageSize: 10, pageToken: "abc" }),
  ],
  [
    "audit",
    "/claviger.audit.v1.AuditService/SearchRecords",
    () => encoded(SearchRecordsRequestSchema, { actor: "a", pageToken: "abc", resource: name }),
  ],
];

function encoded<S extends DescMessage>(schema: S, value: MessageInitShape<S>): Uint8Array {
  return toBinary(schema, create(schema, value));
}

test.each(requests)(
  "%s answers a request that is cut off anywhere, and is never surprised",
  async (service, path, make) => {
    const whole = make();
    const lengths = whole.length < 60 ? [...whole.keys()] : [...Array(40).keys(), whole.length - 1];
    for (const length of lengths) {
      const { code } = await send(service, path, whole.subarray(0, length));
      expect([status.INTERNAL, status.UNKNOWN, status.UNAVAILABLE], `${length} bytes`).not.toContain(code);
    }
  },
);

test.each(requests)(
  "%s refuses a message of more than 4 MiB, and serves the next",
  async (service, path, make) => {
    const tooMuch = await send(service, path, Buffer.alloc(4 * 1024 * 1024 + 1, 0x08));
    expect(tooMuch.code).toBe(status.RESOURCE_EXHAUSTED);
    expect((await send(service, path, make())).code).not.toBe(status.UNAVAILABLE);
  },
);

test.each([
  ["a length beyond the end", Buffer.from("0affffffff0f", "hex")],
  ["a varint without an end", Buffer.alloc(64, 0xff)],
  ["field number 0", Buffer.from("00", "hex")],
  ["a group that never ends", Buffer.alloc(2000, 0x0b)],
  ["wire type 7", Buffer.from("0f", "hex")],
  ["a name that is not UTF-8", Buffer.from("0a03c3286d", "hex")],
  ["a name with a lone surrogate", Buffer.from("0a03eda080", "hex")],
  ["noise", randomBytes(512)],
])("every service refuses %s as no request of its own", async (_, body) => {
  for (const [service, path] of requests) {
    const answer = await send(service, path, body);
    // What happens to parse is then refused for what it says.
    expect(["invalid-argument", "denied", "not-found", ""], `${service}: ${answer.details}`).toContain(
      answer.kind,
    );
    expect([status.INTERNAL, status.UNKNOWN, status.UNAVAILABLE], service).not.toContain(answer.code);
  }
});

test.each(services)(
  "%s says UNIMPLEMENTED to a method that it has not, whatever it is called",
  async (service) => {
    for (const path of [
      "/x/y",
      "/",
      "//",
      "/claviger.storage.v1.KeyService/",
      `/${"a".repeat(8000)}/b`,
      "/__proto__/constructor",
    ]) {
      const { code } = await send(service, path, new Uint8Array());
      expect(code, path.slice(0, 40)).toBe(status.UNIMPLEMENTED);
    }
  },
);

/** Characters that no compression makes few: an index of the database would have to take them as they are. */
const incompressible = Array.from({ length: 250 }, (_, at) =>
  createHash("sha256").update(String(at)).digest("hex"),
).join("");

/** What a test is called by, where what it sends is long. */
function shown(text: string): string {
  return text.length > 40 ? `${text.slice(0, 8)}… of ${text.length} characters` : JSON.stringify(text);
}

const hostileNames = [
  "",
  "/",
  "a",
  "a/b/c",
  "../etc/passwd",
  "a/../b",
  "a/b\0",
  "\0/\0",
  "a\0/b",
  "A/b",
  "a/B",
  "ä/b",
  "а/b",
  "a/\u202eb",
  "a /b",
  "a/b ",
  "a/b\n",
  "*",
  "*/*",
  "%/_",
  "a'/b",
  'a"/b',
  "a/b;drop table keys",
  "-/-",
  `${"a".repeat(64)}/b`,
  `${"a".repeat(10_000)}/${"b".repeat(10_000)}`,
  "\u{1F511}".repeat(5000),
  `a/${incompressible}`,
];

test.each(hostileNames.map((bad) => [shown(bad), bad] as const))(
  "the name %s is refused wherever a key is named",
  async (_, bad) => {
    const calls: Record<string, Promise<unknown>> = {
      encrypt: cryptography.encrypt({ name: bad, plaintext }),
      decrypt: cryptography.decrypt({ name: bad, ciphertext }),
      sign: cryptography.sign({ name: bad, message: plaintext }),
      createKey: keyGeneration.createKey({ name: bad, algorithm: "aes-256-gcm" }),
      createKeyVersion: keyGeneration.createKeyVersion({ name: bad }),
      getPublicKey: keyGeneration.getPublicKey({ name: bad }),
      getKey: keys.getKey({ name: bad }),
      listKeyVersions: keys.listKeyVersions({ name: bad }),
      destroyKey: keys.destroyKey({ name: bad }),
      setRotationPeriod: keys.setRotationPeriod({ name: bad, rotationPeriodSeconds: 3600n }),
      placeHold: keys.placeHold({ name: bad, reason: "x" }),
      planRotation: rotation.planRotation({ name: bad }),
      subscribe: house.claviger.subscriptions.subscribe({ name: bad }),
      unsubscribe: house.claviger.subscriptions.unsubscribe({ name: bad }),
      acknowledge: house.claviger.subscriptions.acknowledgeRotation({ name: bad, version: 1 }),
    };
    if (bad !== "a") calls.createKeyring = keyrings.createKeyring({ name: bad });
    if (bad !== "*") {
      calls.grantRole = access.grantRole({ role: "user", identity: user.uri, resource: bad });
    }
    const kinds = await Promise.all(
      Object.entries(calls).map(async ([call, answer]) => {
        const kind = await answer.then(
          () => "done",
          (error: { kind: string }) => error.kind,
        );
        return ["invalid-argument", "not-found", "denied", "failed-precondition"].includes(kind)
          ? "refused"
          : `${call}: ${kind}`;
      }),
    );
    // "a" is a keyring's name that there could be: roles may be granted on it.
    const unexpected = kinds.filter(
      (kind) => kind !== "refused" && !(bad === "a" && /^grantRole: (done|already)/.test(kind)),
    );
    expect(unexpected).toEqual([]);
  },
);

const hostileTexts = [
  "\0",
  "\u{1F511}".repeat(3000),
  "a".repeat(10_000),
  incompressible,
  "%",
  "' or ''='",
  "../..",
];

test.each(hostileTexts.map((text) => [shown(text), text] as const))(
  "the text %s in every filter and page token is answered or refused",
  async (_, text) => {
    const pageToken = Buffer.from(text).toString("base64url").slice(0, 1000);
    const calls: Record<string, Promise<unknown>> = {
      listKeyrings: keys.listKeyrings({ pageToken }),
      listKeys: keys.listKeys({ pageToken }),
      listKeyVersions: keys.listKeyVersions({ name, pageToken }),
      listBindings: access.listBindings({ pageToken }),
      bindingsOf: access.listBindings({ identity: text }),
      explain: access.explainAccess({ identity: text, permission: text, resource: text }),
      explainPermission: access.explainAccess({ identity: user.uri, permission: text, resource: "*" }),
      grant: access.grantRole({ role: text, identity: user.uri, resource: "*" }),
      condition: access.grantRole({ role: "user", identity: text, resource: name, condition: text }),
      policyScope: house.claviger.policy.testPolicy({ change: { scope: text } }),
      policyRow: house.claviger.policy.testPolicy({
        change: { bindings: [{ role: "user", identity: text, resource: text, condition: text }] },
      }),
      policyGroup: house.claviger.policy.setPolicy({ change: { groups: [{ name: text, members: [text] }] } }),
      question: house.claviger.policy.testPolicy({
        questions: [{ identity: user.uri, permission: text, resource: text }],
      }),
      emergencyRule: house.claviger.emergencies.setEmergencyRule({
        role: text,
        identity: text,
        resource: text,
      }),
      emergency: house.claviger.emergencies.openEmergency({ role: text, resource: text, reason: text }),
      review: house.claviger.emergencies.reviewEmergency({ id: text, note: text }),
      posture: house.claviger.posture.listPosture({ pageToken }),
      floor: house.claviger.posture.raiseFloor({ requirements: text }),
      noFloor: house.claviger.posture.removeFloor({ id: text }),
      explainLater: access.explainAccess({
        identity: user.uri,
        permission: "keys.get",
        resource: "*",
        at: { seconds: 4_611_686_018_427_387_904n, nanos: -1 },
      }),
      listIdentities: identities.listIdentities({ pageToken }),
      getIdentity: identities.getIdentity({ name: text }),
      revokeIdentity: identities.revokeIdentity({ name: text, reason: text }),
      invite: identities.createEnrollmentToken({ name: text }),
      listCertificates: certificates.listCertificates({ pageToken }),
      getCertificate: certificates.getCertificate({ serial: text }),
      issue: certificates.issueCertificate({ profile: text, certificateSigningRequest: Buffer.from(text) }),
      policies: rotation.listRotationPolicies({ pageToken }),
      status: rotation.getRotationStatus({ pageToken }),
      statusOf: rotation.getRotationStatus({ name, pageToken }),
      statusNamed: rotation.getRotationStatus({ name: text }),
      subscribers: house.claviger.subscriptions.listSubscribers({ name: text, pageToken }),
      actor: audit.searchRecords({ actor: text }),
      resource: audit.searchRecords({ resource: text }),
      method: audit.searchRecords({ method: text }),
      outcome: audit.searchRecords({ outcome: text }),
      page: audit.searchRecords({ pageToken }),
      algorithm: keyGeneration.createKey({ name: `${name}x`, algorithm: text }),
      protection: keyGeneration.createKey({ name: `${name}x`, algorithm: "aes-256-gcm", protection: text }),
      state: keys.changeKeyState({ name, state: text }),
      reason: keys.changeKeyState({ name, state: "suspended", reason: text }),
      hold: keys.releaseHold({ name, holdId: text }),
    };
    const bugs = await bugsAmong(calls);
    expect(bugs).toEqual([]);
  },
);

/** The calls that ended in neither an answer nor a refusal that is meant. */
async function bugsAmong(calls: Record<string, Promise<unknown>>): Promise<string[]> {
  const kinds = await Promise.all(
    Object.entries(calls).map(async ([call, answer]) => {
      const kind = await answer.then(
        () => "",
        (error: { kind: string }) => error.kind,
      );
      return ["internal", "unavailable", "deadline-exceeded"].includes(kind) ? `${call}: ${kind}` : "";
    }),
  );
  return kinds.filter((bug) => bug !== "");
}

test("a reason of a hold that the database cannot hold is refused, not a bug", async () => {
  const bugs = await bugsAmong({
    nul: keys.placeHold({ name, reason: "a\0b" }),
    long: keys.placeHold({ name, reason: "a".repeat(10_000) }),
  });
  expect(bugs).toEqual([]);
});

test("numbers beyond every bound are refused", async () => {
  const { pageSize } = { pageSize: 4_294_967_295 };
  const most = 2n ** 64n - 1n;
  const bugs = await bugsAmong({
    listKeys: keys.listKeys({ pageSize }),
    listIdentities: identities.listIdentities({ pageSize }),
    records: audit.searchRecords({ pageSize }),
    proof: audit.getInclusionProof({ sequence: most }),
    proof63: audit.getInclusionProof({ sequence: 2n ** 63n - 1n }),
    checkpoint: audit.getCheckpoint({ fromSize: most }),
    since: audit.searchRecords({ since: { seconds: 2n ** 62n, nanos: 0 } }),
    until: audit.searchRecords({ until: { seconds: -(2n ** 62n), nanos: 0 } }),
    period: keys.setRotationPeriod({ name, rotationPeriodSeconds: most }),
    createdWith: keyGeneration.createKey({
      name: `${name}x`,
      algorithm: "aes-256-gcm",
      rotationPeriodSeconds: most,
    }),
    destroyAfter: keyGeneration.createKey({
      name: `${name}x`,
      algorithm: "aes-256-gcm",
      destroyAfterDays: 4_294_967_295,
    }),
    stateOf: keys.changeKeyState({ name, version: 4_294_967_295, state: "suspended" }),
    signOf: cryptography.sign({ name, version: 4_294_967_295, message: plaintext }),
    publicOf: keyGeneration.getPublicKey({ name, version: 4_294_967_295 }),
    verifyOf: cryptography.verify({ name, version: 4_294_967_295, message: plaintext, signature: plaintext }),
    acknowledge: house.claviger.subscriptions.acknowledgeRotation({ name, version: 4_294_967_295 }),
    expected: keyGeneration.createKeyVersion({ name, expectedCurrentVersion: 4_294_967_295 }),
    random: cryptography.generateRandom({ sizeBytes: 4_294_967_295 }),
    lifetime: identities.createEnrollmentToken({ name: "x", lifetimeSeconds: 4_294_967_295 }),
    certificate: certificates.issueCertificate({ profile: "server", lifetimeSeconds: most }),
  });
  expect(bugs).toEqual([]);
});

test("a batch has a thousand items and not one more, and an item's error is its own", async () => {
  const items = Array.from({ length: 1001 }, () => ({ plaintext }));
  expect((await refusalOf(cryptography.encryptBatch({ name, items }))).kind).toBe("invalid-argument");
  expect((await refusalOf(cryptography.encryptBatch({ name, items: [] }))).kind).toBe("invalid-argument");
  const { results } = await cryptography.encryptBatch({ name, items: items.slice(1) });
  expect(results).toHaveLength(1000);
  const opened = await cryptography.decryptBatch({
    name,
    items: [{ ciphertext, associatedData }, { ciphertext }, { ciphertext: randomBytes(80) }],
  });
  expect(opened.results.map(({ error }) => error?.kind ?? "")).toEqual(["", "integrity", "integrity"]);
  expect(Buffer.from(opened.results[0]!.plaintext).equals(plaintext)).toBe(true);
  expect(opened.results[1]!.plaintext).toHaveLength(0);
});

test.each(["software", "hsm"])(
  "associated data of 64 KiB is bound, and of one byte more refused (%s)",
  async (protection) => {
    const key = protection === "hsm" ? inHsm : name;
    const most = randomBytes(65_536);
    const sealed = await cryptography.encrypt({ name: key, plaintext, associatedData: most });
    const opened = await cryptography.decrypt({
      name: key,
      ciphertext: sealed.ciphertext,
      associatedData: most,
    });
    expect(Buffer.from(opened.plaintext).equals(plaintext)).toBe(true);
    const more = Buffer.alloc(65_537);
    expect((await refusalOf(cryptography.encrypt({ name: key, plaintext, associatedData: more }))).kind).toBe(
      "invalid-argument",
    );
    const refusal = await refusalOf(
      cryptography.decrypt({ name: key, ciphertext: sealed.ciphertext, associatedData: more }),
    );
    expect(refusal.kind).toBe("invalid-argument");
  },
);

test.each(["software", "hsm"])(
  "a plaintext of a mebibyte, of nothing, and of one byte too many (%s)",
  async (protection) => {
    const key = protection === "hsm" ? inHsm : name;
    for (const size of [0, 1, 1024 * 1024]) {
      const large = randomBytes(size);
      const sealed = await cryptography.encrypt({ name: key, plaintext: large });
      const opened = await cryptography.decrypt({ name: key, ciphertext: sealed.ciphertext });
      expect(Buffer.from(opened.plaintext).equals(large), `${size} bytes`).toBe(true);
    }
    const more = Buffer.alloc(1024 * 1024 + 1);
    expect((await refusalOf(cryptography.encrypt({ name: key, plaintext: more }))).kind).toBe(
      "invalid-argument",
    );
  },
);

const hostileRequestIds = [
  "not-a-uuid",
  "\0",
  incompressible,
  "{00000000-0000-0000-0000-000000000000}",
  "00000000000000000000000000000000",
];

test.each(hostileRequestIds.map((id) => [shown(id), id] as const))(
  "request_id %s is refused by whatever takes one",
  async (_, requestId) => {
    const ring = name.split("/")[0]!;
    const bugs = await bugsAmong({
      keyring: keyrings.createKeyring({ requestId, name: unique("ring") }),
      key: keyGeneration.createKey({ requestId, name: `${ring}/${unique("k")}`, algorithm: "aes-256-gcm" }),
      version: keyGeneration.createKeyVersion({ requestId, name }),
      state: keys.changeKeyState({ requestId, name, state: "suspended" }),
      grant: access.grantRole({ requestId, role: "auditor", identity: user.uri, resource: unique("ring") }),
      invite: identities.createEnrollmentToken({ requestId, name: unique("invited") }),
    });
    expect(bugs).toEqual([]);
    const refusal = await refusalOf(keyGeneration.createKeyVersion({ requestId, name }));
    expect(refusal.kind).toBe("invalid-argument");
    expect(
      (await refusalOf(identities.createEnrollmentToken({ requestId, name: unique("invited") }))).kind,
    ).toBe("invalid-argument");
  },
);

test("a request_id that invited somebody invites nobody else, and is refused rather than a bug", async () => {
  const requestId = randomUUID();
  await identities.createEnrollmentToken({ requestId, name: unique("first") });
  const refusal = await refusalOf(identities.createEnrollmentToken({ requestId, name: unique("second") }));
  expect(refusal.kind).toBe("invalid-argument");
});

/** What decrypting was refused with; an answer is the worst of all. */
async function openedAs(key: string, bytes: Uint8Array, bound: Uint8Array = associatedData): Promise<string> {
  return cryptography.decrypt({ name: key, ciphertext: bytes, associatedData: bound }).then(
    () => "opened",
    (error: { kind: string }) => error.kind,
  );
}

const refusedAsChanged = ["integrity", "failed-precondition"];

test.each(["software", "hsm"])(
  "a ciphertext cut off at any length is refused as changed (%s)",
  async (protection) => {
    const [key, whole] = protection === "hsm" ? [inHsm, ciphertextOfHsm] : [name, ciphertext];
    const kinds = await Promise.all(
      Array.from({ length: whole.length }, (_, length) => openedAs(key, whole.subarray(0, length))),
    );
    kinds.push(await openedAs(key, Buffer.concat([whole, Buffer.alloc(1)])));
    expect(kinds.filter((kind) => !refusedAsChanged.includes(kind))).toEqual([]);
  },
);

test.each(["software", "hsm"])(
  "a ciphertext with any one bit changed is refused as changed (%s)",
  async (protection) => {
    const [key, whole] = protection === "hsm" ? [inHsm, ciphertextOfHsm] : [name, ciphertext];
    const kinds: string[] = [];
    for (let at = 0; at < whole.length; at += 1) {
      const bits = at < 37 ? [0, 1, 2, 3, 4, 5, 6, 7] : [at % 8];
      const answers = await Promise.all(
        bits.map((bit) => {
          const changed = Buffer.from(whole);
          changed[at] = changed[at]! ^ (1 << bit);
          return openedAs(key, changed);
        }),
      );
      kinds.push(
        ...answers.map((kind, index) =>
          refusedAsChanged.includes(kind) ? "" : `byte ${at}, bit ${bits[index]}: ${kind}`,
        ),
      );
    }
    expect(kinds.filter((kind) => kind !== "")).toEqual([]);
  },
);

test("a ciphertext that names version 0, 2, 2^31 or 2^32-1 of its key is refused as changed", async () => {
  for (const version of [0, 2, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
    const changed = Buffer.from(ciphertext);
    changed.writeUInt32BE(version, 20);
    expect(refusedAsChanged, `version ${version}: ${await openedAs(name, changed)}`).toContain(
      await openedAs(name, changed),
    );
  }
});

test("a ciphertext does not open with other associated data, under another key, nor spliced with another", async () => {
  expect(await openedAs(name, ciphertext, Buffer.from("other"))).toBe("integrity");
  expect(await openedAs(name, ciphertext, Buffer.alloc(0))).toBe("integrity");
  expect(await openedAs(inHsm, ciphertext)).toBe("integrity");
  const second = Buffer.from((await cryptography.encrypt({ name, plaintext, associatedData })).ciphertext);
  expect(await openedAs(name, Buffer.concat([second.subarray(0, 37), ciphertext.subarray(37)]))).toBe(
    "integrity",
  );
  const header = second.subarray(0, 37);
  expect(
    await openedAs(
      name,
      Buffer.concat([header, ciphertext.subarray(37)]),
      Buffer.concat([header, associatedData]),
    ),
  ).toBe("integrity");
});

test("whatever bytes are decrypted, the answer is a refusal and never a bug", {
  timeout: 60_000,
}, async () => {
  const header = fc.uint8Array({ minLength: 0, maxLength: 80 });
  const spliced = fc
    .tuple(fc.nat({ max: ciphertext.length }), header, fc.nat({ max: ciphertext.length }))
    .map(([from, middle, to]) =>
      Buffer.concat([ciphertext.subarray(0, from), middle, ciphertext.subarray(to)]),
    );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.uint8Array({ maxLength: 300 }), spliced),
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom(name, inHsm),
      async (bytes, bound, key) => {
        const kind = await openedAs(key, bytes, bound);
        return refusedAsChanged.includes(kind);
      },
    ),
    { numRuns: 200 },
  );
});

test("whatever message is sent to Encrypt, the answer is an answer or a refusal", {
  timeout: 60_000,
}, async () => {
  const path = "/claviger.generator.v1.CryptographyService/Encrypt";
  const whole = encoded(EncryptRequestSchema, { name, plaintext, associatedData });
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: whole.length - 1 }),
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      async (at, bytes) => {
        const changed = Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at)]);
        const { code } = await send("generator", path, changed);
        return ![status.INTERNAL, status.UNKNOWN, status.UNAVAILABLE].includes(code);
      },
    ),
    { numRuns: 60 },
  );
});

test("an administrator cannot make the record of what he did too large for the log", async () => {
  const victim = await house.enrol(unique("victim"));
  const { serial } = victim.identity;
  // Colons are taken out of a serial before it is looked for; the record says it as it was written.
  await certificates.revokeCertificate({ serial: `${":".repeat(20_000)}${serial}`, reason: "superseded" });
  const { value } = await until(async () => {
    const { records } = await audit.searchRecords({ method: "RevokeCertificate", pageSize: 200 });
    return records.find(({ leaf }) => leaf.includes(serial) && leaf.includes('"allowed"'));
  }, 8000);
  expect(value.leaf.length).toBeLessThan(16 * 1024);
});

test("a name of 10,000 characters is cut short in the record of its refusal, and the record arrives", async () => {
  const traceId = randomBytes(16).toString("hex");
  await refusalOf(user.cryptography.encrypt({ name: "\0".repeat(10_000), plaintext }, { traceId }));
  await until(async () => {
    const { records } = await audit.searchRecords({ actor: user.uri, pageSize: 200 });
    return records.some(({ leaf }) => leaf.includes(traceId));
  }, 8000);
});

test("a key that is used and changed by many at once stays usable", async () => {
  for (let round = 0; round < 5; round += 1) {
    await Promise.all([
      ...Array.from({ length: 20 }, () => openedAs(inHsm, ciphertextOfHsm)),
      keys.setRotationPeriod({ name: inHsm, rotationPeriodSeconds: BigInt(3600 + round) }),
    ]);
  }
  expect(await openedAs(inHsm, ciphertextOfHsm)).toBe("opened");
});
