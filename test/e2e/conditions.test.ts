import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { access, keyGeneration, keyrings } = house.claviger;
const plaintext = Buffer.from("x");

async function newRing(): Promise<string> {
  const ring = unique("ring");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/cipher`, algorithm: "aes-256-gcm" });
  await keyGeneration.createKey({ name: `${ring}/signer`, algorithm: "ecdsa-p256" });
  return ring;
}

const inSeconds = (seconds: number) => {
  const moment = new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);
  return { moment, text: `timestamp("${moment.toISOString()}")` };
};

test("a role counts for the keys, permissions and callers of which its condition is true, and no others", async () => {
  const ring = await newRing();
  const billing = await house.enrol(unique("billing"));
  const condition =
    'key.purpose == "encrypt-decrypt" && permission != "keys.decrypt" && caller.kind == "workload"';
  const { binding } = await access.grantRole({
    role: "user",
    identity: billing.uri,
    resource: ring,
    condition,
  });
  expect(binding?.condition).toBe(condition);
  const name = `${ring}/cipher`;
  const { ciphertext } = await billing.cryptography.encrypt({ name, plaintext });
  const refusal = await refusalOf(billing.cryptography.decrypt({ name, ciphertext }));
  expect(refusal.kind).toBe("denied");
  expect(refusal.message).toContain("under a condition, which is not met");
  // What stands in it is not told to whom it refuses.
  expect(refusal.message).not.toContain("purpose");
  const signing = billing.cryptography.sign({ name: `${ring}/signer`, message: plaintext });
  expect((await refusalOf(signing)).kind).toBe("denied");
  // A list cannot ask about each key, and shows none of them.
  expect((await refusalOf(billing.keys.listKeys({ keyring: ring }))).kind).toBe("denied");
  const user = await house.enrol(`user/${unique("billing")}`);
  await access.grantRole({ role: "user", identity: user.uri, resource: ring, condition });
  expect((await refusalOf(user.cryptography.encrypt({ name, plaintext }))).kind).toBe("denied");
});

test("a role until a moment ends at that moment at a generator that holds the answer, and begins so", async () => {
  const ring = await newRing();
  const name = `${ring}/cipher`;
  const [early, late] = [await house.enrol(unique("early")), await house.enrol(unique("late"))];
  const { moment, text } = inSeconds(4);
  const role = { role: "user", resource: ring };
  await access.grantRole({ ...role, identity: early.uri, condition: `now < ${text}` });
  await access.grantRole({ ...role, identity: late.uri, condition: `now >= ${text}` });
  const works = (client: typeof early) =>
    client.cryptography.encrypt({ name, plaintext }).then(Boolean, () => false);
  await until(() => works(early), 2000);
  // Asked without a pause, so that an answer of before is always held.
  while (Date.now() < moment.getTime() - 50) {
    const [before, after] = await Promise.all([works(early), works(late)]);
    if (Date.now() >= moment.getTime()) break;
    expect([before, after]).toEqual([true, false]);
    await sleep(20);
  }
  await sleep(Math.max(0, moment.getTime() + 50 - Date.now()));
  expect(await works(early)).toBe(false);
  await until(() => works(late), 1500);
});

test("who leaves the group that a condition asks for is refused within the second", async () => {
  const ring = await newRing();
  const group = unique("shift");
  const worker = await house.enrol(unique("worker"));
  const condition = `"${group}" in caller.groups`;
  await access.grantRole({ role: "user", identity: worker.uri, resource: ring, condition });
  const works = () =>
    worker.cryptography.encrypt({ name: `${ring}/cipher`, plaintext }).then(Boolean, () => false);
  expect(await works()).toBe(false);
  await access.addGroupMember({ group, identity: worker.uri });
  await until(works, 2000);
  await access.removeGroupMember({ group, identity: worker.uri });
  const { milliseconds } = await until(async () => !(await works()), 5000);
  expect(milliseconds).toBeLessThan(2000);
});

test("explain shows the row, its condition and the value, for yes, for no, and for another moment", async () => {
  const ring = await newRing();
  const name = unique("clerk");
  const clerk = await house.enrol(name);
  const condition = 'now.getHours("Europe/Berlin") >= 8 && now.getHours("Europe/Berlin") < 18';
  await house.cli(["access", "grant", "user", "--to", name, "--on", ring, "--when", condition]);
  const explain = async (...more: string[]) =>
    (
      await house.cli([
        "access",
        "explain",
        "--who",
        name,
        "--may",
        "keys.sign",
        "--on",
        ring,
        "--json",
        ...more,
      ])
    ).json();
  const yes = await explain("--at", "2026-03-02T09:00:00Z");
  expect(yes).toMatchObject({
    allowed: true,
    conditionValue: "true",
    binding: { condition, identity: clerk.uri },
  });
  const no = await explain("--at", "2026-03-02T17:00:00Z");
  expect(no).toMatchObject({
    allowed: false,
    conditionValue: "false",
    binding: { condition, resource: ring },
  });
  expect(no.reason).toContain(`${condition} is false`);
  expect((await explain("--may", "keys.destroy")).reason).toContain("missing: role administrator");
  const table = await house.cli(["access", "bindings", "--who", name]);
  expect(table.stdout).toContain("now.getHours");
});

test("what is no condition is refused where it is written, and says where", async () => {
  const grant = (condition: string) =>
    house.cli(["access", "grant", "user", "--to", "nobody-yet", "--on", "payments", "--when", condition]);
  const typo = await grant('caller.nme == "x"');
  expect(typo.code).toBe(2);
  expect(typo.stderr).toContain('the condition is refused at character 8, "nme": no such key: nme');
  expect((await grant("")).code).toBe(2);
  expect((await grant('permission.matches("(a+)+$")')).stderr).toContain("there is no method matches here");
  const huge = access.grantRole({
    role: "user",
    identity: `spiffe://${house.trustDomain}/workload/nobody-yet`,
    resource: "payments",
    condition: `permission == "${"a".repeat(3000)}"`,
  });
  expect((await refusalOf(huge)).kind).toBe("invalid-argument");
});

test("conditions that a role or a group would say are counted, with what to do instead", async () => {
  const ring = await newRing();
  const holders = [1, 2, 3].map(() => `spiffe://${house.trustDomain}/workload/${unique("h")}`);
  const condition = "now.getDayOfWeek() in [1, 2, 3, 4, 5]";
  for (const identity of holders)
    await access.grantRole({ role: "user", identity, resource: ring, condition });
  const reader = `spiffe://${house.trustDomain}/user/${unique("reader")}`;
  await access.grantRole({
    role: "administrator",
    identity: reader,
    resource: ring,
    condition: 'permission in ["keys.get", "audit.read"]',
  });
  const lint = (await house.cli(["access", "lint", "--json"])).json();
  expect(lint.conditions).toBeGreaterThanOrEqual(4);
  const about = (part: string) =>
    lint.advice.find((one: { about: string }) => one.about.includes(part))?.suggestion;
  expect(about(`3 holders of user on ${ring}`)).toContain("group");
  expect(about(reader)).toContain("role auditor");
  expect((await house.cli(["access", "bindings"])).stderr).toContain("claviger access lint");
  for (const identity of [...holders, reader]) {
    await access.revokeRole({
      role: identity === reader ? "administrator" : "user",
      identity,
      resource: ring,
    });
  }
});

test("the last administrator cannot be left with a condition, nor as a member of an empty group", async () => {
  const administrator = {
    role: "administrator",
    identity: `spiffe://${house.trustDomain}/user/administrator`,
  };
  const group = unique("admins");
  const other = await house.enrol(unique("other"));
  const conditioned = { ...administrator, identity: other.uri, resource: "*" };
  await access.grantRole({ ...conditioned, condition: "now.getHours() >= 0" });
  await access.grantRole({ ...conditioned, identity: `group:${group}` });
  try {
    const refusal = await refusalOf(access.revokeRole({ ...administrator, resource: "*" }));
    expect(refusal).toMatchObject({ kind: "failed-precondition" });
    expect(refusal.message).toContain("last administrator");
  } finally {
    await access.revokeRole(conditioned);
    await access.revokeRole({ ...conditioned, identity: `group:${group}` });
  }
});
