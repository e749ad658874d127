import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildAuditRecord, sealBundle, sealConfirmation } from "@claviger/audit-record";
import { serviceIdentity } from "@claviger/identity";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { certifyByAnotherCa, expectCalmServices, freshKey, services, stolenCredentials } from "./attacker.ts";
import { NatsClient } from "./nats-client.ts";

const house = useInstallation();
expectCalmServices(house);
const { audit, cryptography, keys } = house.claviger;
const port = house.ports.nats;
const violation = "Permissions Violation";
const message = Buffer.from("m");

function as(service: (typeof services)[number] | "nats"): Promise<NatsClient> {
  return NatsClient.open({ port, credentials: stolenCredentials(house, service) });
}

test("the bus lets nobody in without a certificate, nor with one of another CA, nor by TLS 1.2", async () => {
  const { trustBundle, ...own } = stolenCredentials(house, "rotation");
  await expect(NatsClient.open({ port, credentials: { trustBundle } })).rejects.toThrow();
  const { uri } = serviceIdentity(house.trustDomain, "audit");
  await expect(
    NatsClient.open({ port, credentials: await certifyByAnotherCa(house, [{ uri }]) }),
  ).rejects.toThrow();
  await expect(
    NatsClient.open({ port, credentials: { trustBundle, ...own }, maxVersion: "TLSv1.2" }),
  ).rejects.toThrow();
  using known = await NatsClient.open({ port, credentials: { trustBundle, ...own } });
  expect(known.heard).toContain("PONG");
});

test("a workload's and an administrator's certificate open nothing on the bus", async () => {
  const workload = await house.enrol(unique("listener"), "administrator");
  for (const { identity } of [workload, house.claviger]) {
    await expect(NatsClient.open({ port, credentials: identity.material })).rejects.toThrow();
  }
});

test("a client that claims another user's name in its CONNECT stays who its certificate says", async () => {
  using bus = await as("rotation");
  const claimed = serviceIdentity(house.trustDomain, "audit").uri;
  await bus.say(`CONNECT {"user":"${claimed}","pass":"","verbose":false}\r\n`);
  expect(await bus.publish("claviger.confirm.storage", "x")).toContain(violation);
});

test.each(services)("%s publishes on its own subjects and on nobody else's", async (service) => {
  using bus = await as(service);
  const others = services.filter((other) => other !== service);
  for (const other of others) {
    expect(await bus.publish(`claviger.audit.${other}`, "forged"), other).toContain(violation);
    expect(await bus.publish(`claviger.events.${other}.key.created`, "{}"), other).toContain(violation);
    if (service !== "audit") expect(await bus.publish(`claviger.confirm.${other}`, "x")).toContain(violation);
  }
  for (const subject of [
    "$JS.API.STREAM.DELETE.AUDIT",
    "$JS.API.STREAM.PURGE.AUDIT",
    "$JS.API.STREAM.MSG.GET.AUDIT",
    "$JS.API.STREAM.MSG.DELETE.AUDIT",
    "$JS.API.CONSUMER.DELETE.AUDIT.audit",
    "$JS.API.CONSUMER.DURABLE.CREATE.AUDIT.mine",
    "$SYS.REQ.SERVER.PING",
    "claviger.confirm",
    "anything",
  ]) {
    expect(await bus.publish(subject, "{}", `_INBOX_${service}.x`), subject).toContain(violation);
  }
});

test.each(services)(
  "%s does not listen to audit records, to other services' confirmations or inboxes",
  async (service) => {
    using bus = await as(service);
    for (const subject of [
      ">",
      "claviger.>",
      "claviger.audit.>",
      "claviger.confirm.>",
      "$JS.>",
      "_INBOX.>",
      "_INBOX_nats.>",
      ...services
        .filter((other) => other !== service)
        .flatMap((other) => [`_INBOX_${other}.>`, `claviger.confirm.${other}`]),
    ]) {
      expect(await bus.subscribe(subject), subject).toContain(violation);
    }
  },
);

test("the bus's operator, who may make streams, publishes no record, no event and no confirmation", async () => {
  using bus = await as("nats");
  for (const subject of [
    "claviger.audit.storage",
    "claviger.events.storage.key.restored",
    "claviger.confirm.storage",
  ]) {
    expect(await bus.publish(subject, "forged"), subject).toContain(violation);
  }
  expect(await bus.subscribe("claviger.audit.>")).toContain(violation);
});

function forgedRecord(service: string, actor = "spiffe://claviger.test/user/innocent") {
  return buildAuditRecord({
    id: randomUUID(),
    time: new Date(),
    service,
    method: "claviger.storage.v1.AccessService/GrantRole",
    permission: "access.grant",
    resource: unique("forged"),
    outcome: "allowed",
    traceId: "",
    details: {},
    personal: { actor, certificateSerial: "" },
  });
}

async function alarmCount(): Promise<number> {
  const { records } = await audit.searchRecords({ method: "claviger.audit/ForgedRecord", pageSize: 1000 });
  return records.length;
}

test.each([
  ["without an authenticator", () => Buffer.from(JSON.stringify({ leaf: forgedRecord("rotation").leaf }))],
  ["with a key of the attacker's", () => sealBundle([forgedRecord("rotation")], "rotation", randomBytes(32))],
  [
    "of another service's, with a key of his own",
    () => sealBundle([forgedRecord("storage")], "storage", randomBytes(32)),
  ],
  ["of no bytes", () => Buffer.alloc(0)],
  ["of noise", () => randomBytes(4096)],
])("a forged audit record %s never enters the log, and that it was tried does", async (_, forge) => {
  const before = await alarmCount();
  using bus = await as("rotation");
  expect(await bus.publish("claviger.audit.rotation", forge())).not.toContain(violation);
  await until(async () => (await alarmCount()) > before, 10_000);
  const { records } = await audit.searchRecords({ actor: "spiffe://claviger.test/user/innocent" });
  expect(records).toEqual([]);
});

test("a genuine record that is sent three times is in the log once", async () => {
  const key = readFileSync(join(house.layout.serviceDirectory("rotation"), "audit.key"));
  const record = forgedRecord("rotation", "spiffe://claviger.test/user/replayed");
  const { resource } = JSON.parse(record.leaf) as { resource: string };
  using bus = await as("rotation");
  // Without a message id, so that the bus itself cannot tell that it had it before.
  for (let time = 0; time < 3; time += 1) {
    await bus.publish("claviger.audit.rotation", sealBundle([record], "rotation", key));
  }
  const found = async () => (await audit.searchRecords({ resource })).records;
  await until(async () => (await found()).length > 0, 10_000);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(await found()).toHaveLength(1);
});

test("a genuine record of one service does not enter as another's, though the thief has that one's key", async () => {
  const key = readFileSync(join(house.layout.serviceDirectory("rotation"), "audit.key"));
  const record = forgedRecord("storage");
  const { resource } = JSON.parse(record.leaf) as { resource: string };
  const before = await alarmCount();
  using bus = await as("rotation");
  await bus.publish("claviger.audit.rotation", sealBundle([record], "rotation", key));
  await until(async () => (await alarmCount()) > before, 10_000);
  expect((await audit.searchRecords({ resource })).records).toEqual([]);
});

test("an event that says that a suspended key is active again changes nothing", async () => {
  const name = await freshKey(house);
  await keys.changeKeyState({ name, state: "suspended" });
  using bus = await as("storage");
  for (const type of ["key.restored", "key.state-changed", "access.changed"]) {
    const event = {
      specversion: "1.0",
      id: randomUUID(),
      subject: name,
      data: { state: "active", keyId: "" },
    };
    await bus.publish(`claviger.events.storage.${type}`, JSON.stringify(event));
  }
  for (let attempt = 0; attempt < 5; attempt += 1) {
    expect((await refusalOf(cryptography.encrypt({ name, plaintext: message }))).kind).toBe(
      "failed-precondition",
    );
  }
});

test("an event that says that a key is due rotates nothing", async () => {
  const name = await freshKey(house, { rotationPeriodSeconds: 86_400n });
  using bus = await as("storage");
  const event = {
    subject: name,
    data: { rotationPeriodSeconds: 60, version: 1, nextRotationAt: "2000-01-01T00:00:00Z" },
  };
  await bus.publish("claviger.events.storage.key.configured", JSON.stringify(event));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect((await keys.getKey({ name })).key?.currentVersion).toBe(1);
});

test("events that are no events, or name what is none, disturb nobody", async () => {
  const name = await freshKey(house);
  using bus = await as("storage");
  for (const body of [
    "",
    "{",
    "null",
    "[]",
    '"x"',
    '{"subject":null}',
    '{"subject":{}}',
    '{"subject":"../../x"}',
    `{"subject":"${"a".repeat(100_000)}"}`,
    '{"__proto__":{"subject":"x"}}',
  ]) {
    await bus.publish("claviger.events.storage.key.created", body);
    await bus.publish("claviger.events.storage.access.changed", body);
  }
  expect((await cryptography.encrypt({ name, plaintext: message })).version).toBe(1);
  await until(async () => {
    const later = await freshKey(house, { rotationPeriodSeconds: 86_400n });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { policies } = await house.claviger.rotation.listRotationPolicies({ pageSize: 1000 });
    return policies.some((policy) => policy.name === later);
  }, 10_000);
});

test("a confirmation without the log's authenticator makes no service forget a record", async () => {
  // Audit's own certificate may write there; what it lacks is the key that it shares with storage.
  using bus = await as("audit");
  const id = randomUUID();
  await house.superuser(
    "insert into storage.outbox (id, kind, subject, payload, published_at) values ($1, 'audit', 'claviger.audit.storage', 'x', now())",
    [id],
  );
  for (const forged of [
    sealConfirmation([id], "storage", randomBytes(32)),
    sealConfirmation([id], "rotation", randomBytes(32)),
    Buffer.from(JSON.stringify([id])),
    Buffer.concat([Buffer.alloc(32), Buffer.from(JSON.stringify([id]))]),
    Buffer.alloc(0),
  ]) {
    expect(await bus.publish("claviger.confirm.storage", forged)).not.toContain(violation);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  const kept = await house.superuser("select 1 from storage.outbox where id = $1", [id]);
  await house.superuser("delete from storage.outbox where id = $1", [id]);
  expect(kept).toHaveLength(1);
});
