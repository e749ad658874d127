import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { access, approvals, keyGeneration, keyrings, policy } = house.claviger;
const plaintext = Buffer.from("x");

function file(value: unknown): string {
  const path = join(house.workDirectory, `${unique("policy")}.yaml`);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

async function newRing(): Promise<{ ring: string; key: string }> {
  const ring = unique("ring");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm" });
  return { ring, key: `${ring}/k` };
}

const works = (client: EnrolledClient, name: string) =>
  client.cryptography.encrypt({ name, plaintext }).then(Boolean, () => false);

test("expectations are held against a proposed policy, and nothing is changed by it", async () => {
  const { key, ring } = await newRing();
  const name = unique("billing");
  const billing = await house.enrol(name, "user", ring);
  const path = file(`
scope: ${ring}
bindings:
  - { role: user, to: ${name}, on: ${key}, when: 'permission != "keys.decrypt"' }
expectations:
  - { who: ${name}, may: [keys.encrypt, cryptography.encrypt], on: ${key}, expect: allow }
  - { who: ${name}, may: keys.decrypt, on: [${key}, ${ring}], expect: deny }
  - { who: user/nobody, may: keys.get, on: ${key}, expect: deny, at: 2026-12-24T20:00:00Z }
`);
  const answer = await house.cli(["access", "test", path, "--json"]);
  expect(answer.stderr).toBe("");
  expect(answer.code).toBe(0);
  expect(answer.json()).toMatchObject({ failed: 0, expectations: { length: 5 } });
  const { ciphertext } = await billing.cryptography.encrypt({ name: key, plaintext });
  await billing.cryptography.decrypt({ name: key, ciphertext });
  const wrong = await house.cli([
    "access",
    "test",
    file({ expectations: [{ who: name, may: "keys.decrypt", on: key, expect: "deny" }] }),
  ]);
  expect(wrong.code).toBe(5);
  expect(wrong.stdout).toContain("1 of 1 expectations fail");
  expect(wrong.stdout).toContain(`role user on ${ring} permits keys.decrypt`);
});

test("what would change for who has called is shown, from what storage saw of it", async () => {
  const { key, ring } = await newRing();
  const [name, other] = [unique("caller"), unique("quiet")];
  const caller = await house.enrol(name, "user", ring);
  await house.enrol(other, "user", ring);
  await caller.cryptography.encrypt({ name: key, plaintext });
  const path = file({
    scope: ring,
    remove: {
      bindings: [
        { role: "user", to: name, on: ring },
        { role: "user", to: other, on: ring },
      ],
    },
  });
  // It is written some seconds later, by the way.
  const { value } = await until(async () => {
    const { changedCallers } = (await house.cli(["access", "test", path, "--json"])).json();
    return changedCallers.length > 0 ? changedCallers : undefined;
  }, 20_000);
  expect(value).toHaveLength(1);
  expect(value[0]).toMatchObject({
    question: { identity: caller.uri, permission: "keys.encrypt", resource: key },
    before: { allowed: true },
    after: { allowed: false },
  });
  const shown = await house.cli(["access", "test", path]);
  expect(shown.stdout).toContain("DENIED");
});

test("a policy is applied whole, after its difference was shown, and holds within the second", async () => {
  const { key, ring } = await newRing();
  const [leaver, comer] = [unique("leaver"), unique("comer")];
  const [old, fresh] = [await house.enrol(leaver, "user", ring), await house.enrol(comer)];
  expect(await works(old, key)).toBe(true);
  const path = file({
    scope: ring,
    bindings: [{ role: "user", to: comer, on: key, when: "now.getHours() >= 0" }],
  });
  const asked = await house.cli(["access", "set", path]);
  expect(asked.code).toBe(2);
  expect(asked.stderr).toContain(`- user for workload/${leaver} on ${ring}`);
  expect(asked.stderr).toContain("say --yes");
  const done = await house.cli(["access", "set", path, "--yes", "--json"]);
  expect(done.json()).toMatchObject({ applied: true });
  await until(async () => (await works(fresh, key)) && !(await works(old, key)), 2000);
  const again = await house.cli(["access", "set", path, "--yes"]);
  expect(again.stdout).toContain("nothing to change");
  const bindings = (await access.listBindings({})).bindings.filter(({ resource }) =>
    resource.startsWith(ring),
  );
  expect(bindings).toMatchObject([{ identity: fresh.uri, condition: "now.getHours() >= 0" }]);
});

test("one entry that is refused changes nothing of the others", async () => {
  const { key, ring } = await newRing();
  const identity = `spiffe://${house.trustDomain}/workload/${unique("w")}`;
  const row = (condition: string) => ({ role: "user", identity, resource: key, condition });
  const refusal = await refusalOf(
    policy.setPolicy({
      change: { scope: ring, bindings: [{ ...row(""), resource: ring }, row("caller.nme == permission")] },
    }),
  );
  expect(refusal.kind).toBe("invalid-argument");
  expect(refusal.message).toContain("binding 2: the condition is refused at character 8");
  const twice = policy.setPolicy({ change: { scope: ring, bindings: [row(""), row("now.getHours() > 1")] } });
  expect((await refusalOf(twice)).message).toContain("twice");
  expect((await access.listBindings({ identity })).bindings).toEqual([]);
});

test("the last administrator is not locked out, whatever the file says, and the test says so before", async () => {
  const before = (await access.listBindings({})).bindings;
  const path = file({ bindings: [{ role: "auditor", to: "user/administrator", on: "*" }] });
  const tested = await house.cli(["access", "test", path, "--no-callers"]);
  expect(tested.code).toBe(5);
  expect(tested.stdout).toContain("leaves nobody who is administrator");
  const set = await house.cli(["access", "set", path, "--yes"]);
  expect(set.code).toBe(5);
  expect(set.stderr).toContain("leaves nobody who is administrator of everything");
  const direct = policy.setPolicy({
    change: {
      complete: true,
      bindings: [
        { role: "auditor", identity: `spiffe://${house.trustDomain}/user/administrator`, resource: "*" },
      ],
    },
  });
  expect(await refusalOf(direct)).toMatchObject({ kind: "failed-precondition" });
  expect((await access.listBindings({})).bindings).toEqual(before);
});

test("groups are as the file says, others stay, and who approves is not changed by it", async () => {
  const { ring } = await newRing();
  const [team, officers] = [unique("team"), unique("officers")];
  const members = [1, 2, 3].map(() => `user/${unique("m")}`);
  const set = (groups: object) => house.cli(["access", "set", file({ groups }), "--yes"]);
  expect((await set({ [team]: members.slice(0, 2) })).code).toBe(0);
  expect((await set({ [team]: members.slice(1) })).code).toBe(0);
  const now = (await access.listGroups({ group: team })).members.map(({ identity }) => identity);
  expect(now.sort()).toEqual(
    members
      .slice(1)
      .map((name) => `spiffe://${house.trustDomain}/${name}`)
      .sort(),
  );
  for (const name of members) {
    await access.addGroupMember({ group: officers, identity: `spiffe://${house.trustDomain}/${name}` });
  }
  const rule = { permission: "keys.destroy", resource: ring };
  await approvals.setApprovalRule({ ...rule, required: 1, group: officers });
  const refused = await set({ [officers]: members });
  expect(refused.stdout).toContain("nothing to change");
  const swapped = await set({ [officers]: [...members, "user/crony"] });
  expect(swapped.code).toBe(5);
  expect(swapped.stderr).toContain("approve others' requests");
});

test("what was looked at is what is applied: a change in between is refused, and a repeat has one effect", async () => {
  const { ring } = await newRing();
  const identity = `spiffe://${house.trustDomain}/workload/${unique("w")}`;
  const change = { scope: ring, bindings: [{ role: "user", identity, resource: ring }] };
  const { difference } = await policy.testPolicy({ change });
  await access.grantRole({ role: "auditor", identity, resource: ring });
  const base = difference!.base;
  const refusal = await refusalOf(policy.setPolicy({ change, base }));
  expect(refusal).toMatchObject({ kind: "failed-precondition" });
  const requestId = crypto.randomUUID();
  const first = await policy.setPolicy({ requestId, change });
  const second = await policy.setPolicy({ requestId, change });
  expect(second).toEqual(first);
  expect(first.difference?.addedBindings).toHaveLength(1);
});

test("a file that says something else than a policy is refused, with where and why", async () => {
  const refusals: [string, string][] = [
    ["bindings: [", "cannot be read"],
    ["bindngs: []", '"bindngs", which is none of scope, bindings'],
    ["bindings: [{role: user, to: x, on: y, wenn: z}]", 'bindings[1] has "wenn"'],
    ["expectations: [{who: x, may: keys.get, on: y, expect: maybe}]", "expect is allow or deny"],
    ["bindings: []\nadd: {bindings: []}", "one way or the other"],
    [`a: &a [x,x]\nb: &b [${"*a,".repeat(200)}]\nbindings: *b`, "cannot be read"],
    ["- 1", "not a list of names and values"],
  ];
  for (const [text, why] of refusals) {
    const { code, stderr } = await house.cli(["access", "test", file(text)]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
  }
});
