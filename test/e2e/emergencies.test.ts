import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stolenCredentials } from "../adversary/attacker.ts";
import { NatsClient } from "../adversary/nats-client.ts";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { access, emergencies, keyGeneration, keyrings } = house.claviger;
const ring = unique("vault");
const name = `${ring}/k`;
const plaintext = Buffer.from("x");
const alice = unique("alice");
let keeper: EnrolledClient;
let auditor: EnrolledClient;

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  keeper = await house.enrol(`user/${alice}`);
  auditor = await house.enrol(`user/${unique("auditor")}`, "auditor", "*");
  for (const role of ["user", "administrator"]) {
    await emergencies.setEmergencyRule({ identity: keeper.uri, role, resource: ring, minutesMax: 60 });
  }
});

/** So that the status of other tests' installation is calm. */
afterAll(async () => {
  const { emergencies: waiting } = await emergencies.listEmergencies({ unreviewed: true });
  for (const { id, state } of waiting) {
    if (state === "open") await emergencies.closeEmergency({ id });
    await emergencies.reviewEmergency({ id, justified: true, note: "a test's own" });
  }
  await access.revokeRole({ role: "auditor", identity: auditor.uri, resource: "*" });
});

const works = () => keeper.cryptography.encrypt({ name, plaintext }).then(Boolean, () => false);
const reason = "the database is down, INC-4711";
/** What the bus says of an emergency from now on, as the generator hears it. */
async function listen() {
  const bus = await NatsClient.open({
    port: house.ports.nats,
    credentials: stolenCredentials(house, "generator"),
  });
  await bus.subscribe("claviger.events.storage.>");
  const types = (id: string) =>
    bus.heard
      .split("MSG ")
      .filter((message) => message.includes(id))
      .map((message) => /emergency\.[a-z]+/.exec(message)?.[0]);
  return { bus, types };
}

test("who was named takes the role, everybody is told at once, and it is reviewed by somebody else", async () => {
  expect(await works()).toBe(false);
  const { bus, types } = await listen();
  using _ = bus;
  const opened = await house.cli(
    [
      "access",
      "emergency",
      "open",
      "--role",
      "user",
      "--on",
      ring,
      "--reason",
      reason,
      "--for",
      "30m",
      "--json",
    ],
    { config: keeper.configPath },
  );
  const { id } = opened.json();
  await until(works, 2000);
  await until(() => types(id).includes("emergency.opened"), 5000);
  const line = house
    .serviceLog("storage")
    .split("\n")
    .find((text) => text.includes(id));
  expect(line).toContain("an emergency was opened");
  expect(line).not.toContain(alice);
  const status = (await house.cli(["status", "--json"])).json();
  expect(status.dependencies).toContainEqual(
    expect.objectContaining({
      name: "emergencies",
      state: "degraded",
      detail: expect.stringContaining("open: 1"),
    }),
  );
  const ask = { identity: keeper.uri, permission: "keys.encrypt", resource: name };
  const explained = await access.explainAccess(ask);
  expect(explained).toMatchObject({
    allowed: true,
    emergency: id,
    binding: { role: "user", resource: ring },
  });
  expect(explained.reason).toContain(reason);

  expect(
    (await refusalOf(auditor.emergencies.reviewEmergency({ id, justified: true, note: reason }))).kind,
  ).toBe("failed-precondition");
  await keeper.emergencies.closeEmergency({ id });
  const { milliseconds } = await until(async () => !(await works()), 5000);
  expect(milliseconds).toBeLessThan(2000);
  const own = await refusalOf(keeper.emergencies.reviewEmergency({ id, justified: true, note: reason }));
  expect(own).toMatchObject({ kind: "denied" });
  expect((await house.cli(["status"])).stdout).toContain("waiting for review: 1");
  const verdict = ["--verdict", "justified", "--note", "as the ticket says"];
  const reviewed = await house.cli(["access", "emergency", "review", id, ...verdict, "--json"], {
    config: auditor.configPath,
  });
  expect(reviewed.json()).toMatchObject({ state: "reviewed", verdict: "justified", reviewedBy: auditor.uri });
  expect((await house.cli(["status", "--json"])).json().dependencies).toContainEqual(
    expect.objectContaining({ name: "emergencies", state: "ok" }),
  );
  await until(() => types(id).length === 3, 5000);
  expect(types(id)).toEqual(["emergency.opened", "emergency.ended", "emergency.reviewed"]);
  // Neither the events nor the log say who it is, or why.
  expect(bus.heard).not.toContain(alice);
  expect(bus.heard).not.toContain("INC-4711");
  expect(
    (await refusalOf(emergencies.reviewEmergency({ id, justified: false, note: "once again" }))).kind,
  ).toBe("already-exists");
});

test("an emergency ends by itself at its moment, at a generator that holds the answer, and is told of", async () => {
  const { bus, types } = await listen();
  using _ = bus;
  const { emergency } = await keeper.emergencies.openEmergency({
    role: "user",
    resource: ring,
    reason,
    minutes: 1,
  });
  const { id } = emergency!;
  await until(works, 2000);
  const end = Number(emergency!.expiresAt!.seconds) * 1000 + emergency!.expiresAt!.nanos / 1e6;
  while (Date.now() < end - 100) {
    const held = await works();
    if (Date.now() >= end) break;
    expect(held).toBe(true);
    await sleep(200);
  }
  await sleep(Math.max(0, end + 50 - Date.now()));
  expect(await works()).toBe(false);
  await until(() => types(id).includes("emergency.ended"), 10_000);
  const { emergencies: all } = await emergencies.listEmergencies({ unreviewed: true });
  expect(all.find((one) => one.id === id)).toMatchObject({ state: "ended", endedBy: "" });
}, 90_000);

test("nobody else, no other role, no other place, no longer time, and no emergency without a reason", async () => {
  const open = (client: EnrolledClient, change: object = {}) =>
    refusalOf(client.emergencies.openEmergency({ role: "user", resource: ring, reason, ...change }));
  expect((await open(auditor)).kind).toBe("denied");
  expect((await open(keeper, { resource: "*" })).kind).toBe("denied");
  expect((await open(keeper, { resource: name })).kind).toBe("denied");
  expect((await open(keeper, { role: "auditor" })).kind).toBe("denied");
  expect((await open(keeper, { minutes: 61 })).message).toContain("60 minutes at most");
  expect((await open(keeper, { reason: "  why? " })).kind).toBe("invalid-argument");
  const outsider = await house.enrol(unique("outsider"));
  expect((await outsider.emergencies.listEmergencies({})).emergencies).toEqual([]);
});

test("a rule that was changed counts as it is now, and is no finding of the scan", async () => {
  const rule = { identity: keeper.uri, role: "user", resource: ring };
  await emergencies.setEmergencyRule({ ...rule, minutesMax: 5 });
  const opened = await keeper.emergencies.openEmergency({ role: "user", resource: ring, reason });
  const { expiresAt, openedAt } = opened.emergency!;
  expect(expiresAt!.seconds - openedAt!.seconds).toBe(300n);
  await emergencies.setEmergencyRule({ ...rule, minutesMax: 60 });
  const findings = [];
  for await (const answer of house.claviger.registry.checkRegistry({})) findings.push(...answer.findings);
  expect(findings).toEqual([]);
});

test("a repeat of the request opens one emergency, and too many without a review are refused", async () => {
  const requestId = crypto.randomUUID();
  const request = { requestId, role: "user", resource: ring, reason };
  const first = await keeper.emergencies.openEmergency(request);
  expect(await keeper.emergencies.openEmergency(request)).toEqual(first);
  let refusal: Awaited<ReturnType<typeof refusalOf>> | undefined;
  for (let count = 0; count < 12 && refusal === undefined; count += 1) {
    const call = keeper.emergencies.openEmergency({ role: "user", resource: ring, reason });
    await call.catch(async () => {
      refusal = await refusalOf(call);
    });
  }
  expect(refusal).toMatchObject({ kind: "exhausted" });
  expect(refusal!.message).toContain("wait for their review");
});
