import { AccessService } from "@claviger/proto/storage/v1/access_pb.ts";
import { afterAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { clientAs, expectCalmServices, freshKey, kindsOf } from "./attacker.ts";

const house = useInstallation();
const { access, emergencies, posture } = house.claviger;
expectCalmServices(house);
const plaintext = Buffer.from("x");
const reason = "a test plays an attacker";

afterAll(async () => {
  const { emergencies: waiting } = await emergencies.listEmergencies({ unreviewed: true });
  for (const { id, state } of waiting) {
    if (state === "open") await emergencies.closeEmergency({ id });
    await emergencies.reviewEmergency({ id, justified: true, note: "a test's own" });
  }
});

async function newRing(): Promise<{ ring: string; key: string }> {
  const key = await freshKey(house);
  return { key, ring: key.split("/")[0]! };
}

const encrypts = (client: EnrolledClient, name: string) =>
  client.cryptography.encrypt({ name, plaintext }).then(Boolean, () => false);

test("an administrator of one keyring widens nothing by conditions, groups, a policy, emergencies or floors", async () => {
  const [own, other] = [await newRing(), await newRing()];
  const group = unique("team");
  const mallory = await house.enrol(`user/${unique("mallory")}`, "administrator", own.ring);
  await access.grantRole({ role: "administrator", identity: `group:${group}`, resource: other.ring });
  const me = { role: "administrator", identity: mallory.uri };
  const elsewhere = { ...me, resource: other.ring };
  const change = (wanted: object) => mallory.policy.setPolicy({ change: wanted });
  const denied = await kindsOf([
    mallory.access.grantRole({ ...elsewhere, condition: 'resource != ""' }),
    mallory.access.grantRole({ ...me, resource: "*", condition: `resource.startsWith("${own.ring}")` }),
    mallory.access.addGroupMember({ group, identity: mallory.uri }),
    change({ scope: "*", bindings: [elsewhere] }),
    change({ bindings: [{ ...me, resource: own.ring }] }),
    change({ scope: "*", addedMembers: [{ group, identity: mallory.uri }] }),
    change({ scope: other.ring, bindings: [elsewhere] }),
    mallory.emergencies.setEmergencyRule({ ...elsewhere, minutesMax: 60 }),
    mallory.emergencies.setEmergencyRule({ ...me, resource: "*", minutesMax: 60 }),
    mallory.emergencies.openEmergency({ role: "administrator", resource: other.ring, reason }),
    mallory.posture.raiseFloor({ requirements: "tls>=1.3" }),
  ]);
  expect(denied).toEqual(denied.map(() => "denied"));
  // Within its own scope, what is beside it, and groups, are no part of a policy.
  const outside = await kindsOf([
    change({ scope: own.ring, bindings: [elsewhere] }),
    change({
      scope: own.ring,
      removedBindings: [{ role: "administrator", identity: mallory.uri, resource: "*" }],
    }),
    change({ scope: own.ring, bindings: [{ ...me, resource: "*" }] }),
    change({ scope: own.ring, addedMembers: [{ group, identity: mallory.uri }] }),
    change({ scope: own.ring, groups: [{ name: group, members: [mallory.uri] }] }),
    change({ scope: own.key, bindings: [{ ...me, resource: own.key }] }),
  ]);
  expect(outside).toEqual(outside.map(() => "invalid-argument"));
  expect(await encrypts(mallory, other.key)).toBe(false);
  // All that there is on its own keyring is its own to change.
  await change({ scope: own.ring, complete: true, bindings: [{ ...me, resource: own.ring }] });
  await access.revokeRole({ role: "administrator", identity: `group:${group}`, resource: other.ring });
});

test("who is administrator under a condition gives nobody anything that outlasts it", async () => {
  const { key, ring } = await newRing();
  const temp = await house.enrol(`user/${unique("temp")}`);
  const role = { role: "administrator", identity: temp.uri, resource: "*" };
  await access.grantRole({ ...role, condition: "now.getHours() >= 0" });
  try {
    await until(() => encrypts(temp, key), 2000);
    const widening = await kindsOf([
      temp.access.grantRole({ ...role, resource: ring }),
      temp.access.revokeRole({ ...role }),
      temp.access.addGroupMember({ group: unique("g"), identity: temp.uri }),
      temp.policy.setPolicy({ change: { bindings: [role] } }),
      temp.policy.setPolicy({ change: { scope: ring, bindings: [{ ...role, resource: ring }] } }),
      temp.emergencies.setEmergencyRule({ ...role, minutesMax: 1440 }),
      temp.identities.createEnrollmentToken({ name: "user/administrator" }),
      temp.approvals.setApprovalRule({ permission: "keys.destroy", resource: ring, required: 1, group: "g" }),
      temp.posture.raiseFloor({ requirements: "tls>=1.3" }),
    ]);
    expect(widening).toEqual(widening.map(() => "denied"));
  } finally {
    await access.revokeRole(role);
  }
});

test("an emergency gives nothing that outlasts it, is not reviewed by its own power, nor by another of oneself", async () => {
  const { key, ring } = await newRing();
  const [one, other] = [
    await house.enrol(`user/${unique("one")}`),
    await house.enrol(`user/${unique("other")}`),
  ];
  const rule = { role: "administrator", resource: ring, minutesMax: 10 };
  for (const { uri } of [one, other]) await emergencies.setEmergencyRule({ ...rule, identity: uri });
  const { emergency } = await one.emergencies.openEmergency({ ...rule, reason });
  await until(() => encrypts(one, key), 2000);
  const mine = { role: "administrator", identity: one.uri, resource: ring };
  const widening = await kindsOf([
    one.access.grantRole(mine),
    one.policy.setPolicy({ change: { scope: ring, bindings: [mine] } }),
    one.emergencies.setEmergencyRule({ ...mine, minutesMax: 1440 }),
    one.identities.createEnrollmentToken({ name: unique("accomplice") }),
  ]);
  expect(widening).toEqual(widening.map(() => "denied"));
  await one.emergencies.closeEmergency({ id: emergency!.id });
  // Another who is in an emergency as well has roles there, but not to review with.
  await other.emergencies.openEmergency({ ...rule, reason });
  const note = "looks fine to me, friend";
  const reviews = [one, other].map((client) =>
    client.emergencies.reviewEmergency({ id: emergency!.id, justified: true, note }),
  );
  expect(await kindsOf(reviews)).toEqual(["denied", "denied"]);
  const stranger = await house.enrol(unique("stranger"), "user", ring);
  const id = emergency!.id;
  expect(await kindsOf([stranger.emergencies.reviewEmergency({ id, justified: true, note })])).toEqual([
    "not-found",
  ]);
  await expect(emergencies.reviewEmergency({ id, justified: false, note })).resolves.toMatchObject({
    emergency: { verdict: "unjustified" },
  });
});

test("hostile expressions are refused in bounded time, and storage goes on answering meanwhile", async () => {
  const { key, ring } = await newRing();
  const mallory = await house.enrol(unique("mallory"), "administrator", ring);
  const grant = (condition: string) =>
    mallory.access.grantRole({ role: "user", identity: mallory.uri, resource: ring, condition });
  const list = `[${"1,".repeat(60)}1]`;
  const hostile = [
    `permission == "${"a".repeat(3_000_000)}"`,
    `${"(".repeat(1000)}true${")".repeat(1000)}`,
    `${"!".repeat(2000)}true`,
    `${list}.all(a, ${list}.all(b, ${list}.all(c, ${list}.all(d, a + b + c + d > 0))))`,
    '"a".matches("(a+)+(a+)+(a+)+$")',
    'cel.bind(a, "x" + permission, cel.bind(b, a + a, cel.bind(c, b + b, c + c == a)))',
    "dyn(permission) + 1 == dyn(now)",
    "permission + 1 == 2",
    "key.__proto__ == key.constructor",
    `now.getHours("${"A/".repeat(500)}") > 1`,
    "\u0000permission == ''",
    "permission == '\u202e'",
    `duration("${"9".repeat(500)}h") > now - now`,
    "9223372036854775807 + size(permission) > 0 ? caller : key",
    "",
  ];
  const began = performance.now();
  const [kinds, asked] = await Promise.all([
    kindsOf(hostile.slice(0, -1).map(grant)),
    (async () => {
      const client = await house.enrol(unique("bystander"), "user", ring);
      const slowest: number[] = [];
      for (let count = 0; count < 20; count += 1) {
        const from = performance.now();
        await client.cryptography.encrypt({ name: key, plaintext });
        slowest.push(performance.now() - from);
      }
      return Math.max(...slowest);
    })(),
  ]);
  expect(kinds).toEqual(kinds.map(() => "invalid-argument"));
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(asked).toBeLessThan(5000);
  // What divides by nothing or overflows is taken, and is a no.
  await grant("1 / size(caller.groups) == 1 || 9223372036854775807 + size(permission) > 0");
  const explained = await access.explainAccess({
    identity: mallory.uri,
    permission: "keys.encrypt",
    resource: key,
  });
  expect(explained.allowed).toBe(true);
  await access.revokeRole({ role: "administrator", identity: mallory.uri, resource: ring });
  const left = await access.explainAccess({
    identity: mallory.uri,
    permission: "keys.encrypt",
    resource: key,
  });
  expect(left.allowed).toBe(false);
  expect(left.conditionValue).toContain("cannot be evaluated");
});

test.each([
  ["taken away", ""],
  ["made true", 'permission != ""'],
  ["put off", 'now < timestamp("2099-01-01T00:00:00Z")'],
])(
  "a condition that is %s in the database is an integrity error that names the row",
  async (_, condition) => {
    const { key, ring } = await newRing();
    const thief = await house.enrol(unique("thief"));
    const role = { role: "user", identity: thief.uri, resource: ring };
    await access.grantRole({ ...role, condition: 'now < timestamp("2020-01-01T00:00:00Z")' });
    await house.superuser("update storage.role_bindings set condition = $2 where identity = $1", [
      thief.uri,
      condition,
    ]);
    try {
      const refusal = await refusalOf(thief.cryptography.encrypt({ name: key, plaintext }));
      expect(refusal.kind).toBe("integrity");
      expect(refusal.message).toContain(`user for ${thief.uri} on ${ring}`);
      // Nobody else is kept from anything by it.
      await access.grantRole({ ...role, identity: `${thief.uri}-2` });
    } finally {
      await house.superuser("delete from storage.role_bindings where identity = $1", [thief.uri]);
    }
  },
);

test("an emergency that is prolonged, opened again or named for in the database gives nothing", async () => {
  const { key, ring } = await newRing();
  const thief = await house.enrol(`user/${unique("thief")}`);
  const rule = { role: "user", identity: thief.uri, resource: ring, minutesMax: 1 };
  await emergencies.setEmergencyRule(rule);
  const edit = (table: string, set: string) =>
    house.superuser(`update storage.${table} set ${set} where identity = $1`, [thief.uri]);
  await edit("emergency_rules", "minutes_max = 1440");
  expect(await kindsOf([thief.emergencies.openEmergency({ ...rule, reason })])).toEqual(["integrity"]);
  await edit("emergency_rules", "minutes_max = 1");
  const { emergency } = await thief.emergencies.openEmergency({ ...rule, reason });
  const [open] = await house.superuser<Record<string, unknown>>(
    "select * from storage.emergencies where id = $1",
    [emergency!.id],
  );
  await thief.emergencies.closeEmergency({ id: emergency!.id });
  await until(async () => !(await encrypts(thief, key)), 5000);
  const [ended] = await house.superuser<Record<string, unknown>>(
    "select * from storage.emergencies where id = $1",
    [emergency!.id],
  );
  const put = (row: Record<string, unknown> | undefined, expiresAt: unknown = row?.expires_at) =>
    house.superuser(
      "update storage.emergencies set ended_at = $2, ended_by = $3, revision = $4, seal = $5, expires_at = $6 where id = $1",
      [emergency!.id, row!.ended_at, row!.ended_by, row!.revision, row!.seal, expiresAt],
    );
  // A refusal is held for a second.
  const noticed = () =>
    until(
      async () =>
        (await refusalOf(thief.cryptography.encrypt({ name: key, plaintext }))).kind === "integrity",
      3000,
    );
  try {
    // Genuine, and older than what storage knows.
    await put(open);
    await noticed();
    await put(open, new Date(Date.now() + 86_400_000));
    await noticed();
  } finally {
    await put(ended);
  }
});

test("a floor that is put off or deleted in the database opens nothing", async () => {
  const client = await house.enrol(unique("client"), "user", "*");
  const { floor } = await posture.raiseFloor({ requirements: "key-exchange=post-quantum" });
  const { id } = floor!;
  const [row] = await house.superuser<Record<string, unknown>>(
    "select * from storage.authentication_floors where id = $1",
    [id],
  );
  const refused = () => refusalOf(client.cryptography.generateRandom({ sizeBytes: 8 }));
  await client.cryptography.generateRandom({ sizeBytes: 8 });
  try {
    await house.superuser(
      "update storage.authentication_floors set effective_at = now() + interval '1 year' where id = $1",
      [id],
    );
    await until(async () => (await refused()).kind === "integrity", 15_000);
    await house.superuser("delete from storage.authentication_floors where id = $1", [id]);
    expect((await refused()).message).toContain(`the row of floor ${id} is gone`);
  } finally {
    await house.superuser("delete from storage.authentication_floors where id = $1", [id]);
    await house.superuser(
      "insert into storage.authentication_floors (id, requirements, effective_at, created_by, created_at, seal) values ($1, $2, $3, $4, $5, $6)",
      [row!.id, row!.requirements, row!.effective_at, row!.created_by, row!.created_at, row!.seal],
    );
  }
  await posture.removeFloor({ id });
  await client.cryptography.generateRandom({ sizeBytes: 8 });
});

test("a client reports no strength of its own, and asks for no decision", async () => {
  const mallory = await house.enrol(unique("mallory"), "administrator", "*");
  using storage = clientAs(house, mallory.directory, AccessService, "storage");
  const strength = { keyType: "ec", keyBits: 521, keyExchange: "X25519MLKEM768", tlsVersion: "TLSv1.3" };
  const asked = storage.decideAccess({ identity: mallory.uri, permission: "", authentication: strength });
  expect((await refusalOf(asked)).kind).toBe("denied");
  await access.revokeRole({ role: "administrator", identity: mallory.uri, resource: "*" });
});
