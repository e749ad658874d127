import { createPrivateKey, generateKeyPairSync, randomUUID } from "node:crypto";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Approval } from "@claviger/proto/storage/v1/approval_pb.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signApproval } from "../../packages/approval/src/index.ts";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { access, approvals, keyGeneration, keyrings, keys } = house.claviger;
const officers = unique("officers");
const ring = unique("guarded");
let [one, two, three]: EnrolledClient[] = [];

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
  [one, two, three] = await Promise.all(["one", "two", "three"].map((name) => house.enrol(unique(name))));
  for (const client of [one!, two!, three!]) {
    await access.addGroupMember({ group: officers, identity: client.uri });
  }
  await approvals.setApprovalRule({
    permission: "keys.destroy",
    resource: ring,
    required: 2,
    group: officers,
  });
});

/** By the rule's own way, so that other tests find none. */
afterAll(async () => {
  const remove = () => approvals.removeApprovalRule({ permission: "keys.destroy", resource: ring });
  const waiting = await idIn(remove());
  await consent(one!, waiting);
  await consent(two!, waiting);
  await remove();
});

async function newKey(): Promise<string> {
  const name = `${ring}/${unique("key")}`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  return name;
}

/** The request that a refusal says is waited for. */
async function idIn(call: Promise<unknown>): Promise<string> {
  const refusal = await refusalOf(call);
  expect(refusal.kind).toBe("failed-precondition");
  return /request ([0-9a-f-]{36}) waits/.exec(refusal.message)![1]!;
}

async function consent(client: EnrolledClient, id: string, sign = sealOf(client)): Promise<Approval> {
  const { approval } = await client.approvals.getApproval({ id });
  return (await client.approvals.approveRequest({ id, signature: sign(approval!) })).approval!;
}

function sealOf(client: EnrolledClient) {
  return (approval: Approval) =>
    signApproval(
      { ...approval, expiresAt: timestampDate(approval.expiresAt!) },
      createPrivateKey(client.identity.material.key),
    );
}

test("a destruction waits for two of the group, who sign it, and is then carried out once", async () => {
  const [name, other] = [await newKey(), await newKey()];
  const id = await idIn(keys.destroyKey({ name }));
  expect(await idIn(keys.destroyKey({ name }))).toBe(id);
  expect((await keys.getKey({ name })).key?.destroyAt).toBeUndefined();
  expect((await consent(one!, id)).state).toBe("waiting");
  expect(await idIn(keys.destroyKey({ name }))).toBe(id);
  expect((await consent(two!, id)).state).toBe("approved");
  // Not another key, not in another way, not by another.
  expect(await idIn(keys.destroyKey({ name: other }))).not.toBe(id);
  const requestId = randomUUID();
  await keys.destroyKey({ name, requestId });
  expect((await keys.getKey({ name })).key?.destroyAt).toBeDefined();
  await keys.destroyKey({ name, requestId });
  const { approval } = await approvals.getApproval({ id });
  expect(approval).toMatchObject({
    state: "executed",
    requester: `spiffe://${house.trustDomain}/user/administrator`,
    required: 2,
  });
  expect(approval!.request).toContain(name);
  await keys.restoreKey({ name });
  expect(await idIn(keys.destroyKey({ name }))).not.toBe(id);
});

test("nobody approves for themselves, twice, from outside, or with another's signature; one no ends it", async () => {
  await access.grantRole({ role: "administrator", identity: one!.uri, resource: ring });
  try {
    const name = await newKey();
    const id = await idIn(one!.keys.destroyKey({ name }));
    expect((await refusalOf(consent(one!, id))).kind).toBe("denied");
    await consent(two!, id);
    expect((await refusalOf(consent(two!, id))).kind).toBe("already-exists");
    expect((await refusalOf(consent(three!, id, sealOf(two!)))).kind).toBe("invalid-argument");
    const { approval } = await three!.approvals.getApproval({ id });
    const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    const forged = signApproval({ ...approval!, expiresAt: timestampDate(approval!.expiresAt!) }, stranger);
    expect((await refusalOf(three!.approvals.approveRequest({ id, signature: forged }))).kind).toBe(
      "invalid-argument",
    );
    // What was signed is this request and no other.
    const changed = sealOf(three!)({ ...approval!, resource: `${ring}/another` });
    expect((await refusalOf(three!.approvals.approveRequest({ id, signature: changed }))).kind).toBe(
      "invalid-argument",
    );
    const outsider = await house.enrol(unique("outsider"));
    expect((await refusalOf(outsider.approvals.getApproval({ id }))).kind).toBe("not-found");
    expect(
      (await refusalOf(outsider.approvals.approveRequest({ id, signature: Buffer.alloc(64) }))).kind,
    ).toBe("denied");
    await three!.approvals.rejectRequest({ id });
    expect((await approvals.getApproval({ id })).approval?.state).toBe("rejected");
    expect(await idIn(one!.keys.destroyKey({ name }))).not.toBe(id);
  } finally {
    await access.revokeRole({ role: "administrator", identity: one!.uri, resource: ring });
  }
});

test("who leaves the group has not consented any more; the row in the database changes nothing", async () => {
  const name = await newKey();
  const id = await idIn(keys.destroyKey({ name }));
  await consent(two!, id);
  await consent(three!, id);
  const leave = () => access.removeGroupMember({ group: officers, identity: three!.uri });
  const leaving = await idIn(leave());
  await consent(one!, leaving);
  await consent(two!, leaving);
  await leave();
  expect((await approvals.getApproval({ id })).approval?.state).toBe("waiting");
  expect(await idIn(keys.destroyKey({ name }))).toBe(id);
  await house.superuser("update storage.approvals set required = 1 where id = $1", [id]);
  expect((await refusalOf(keys.destroyKey({ name }))).kind).toBe("integrity");
  await house.superuser("update storage.approvals set required = 2 where id = $1", [id]);
  const back = () => access.addGroupMember({ group: officers, identity: three!.uri });
  const coming = await idIn(back());
  await consent(one!, coming);
  await consent(two!, coming);
  await back();
  expect((await approvals.getApproval({ id })).approval?.state).toBe("approved");
  // An approval that was used up cannot be used again by its old row.
  const [old] = await house.superuser<Record<string, unknown>>(
    "select * from storage.approvals where id = $1",
    [id],
  );
  await keys.destroyKey({ name });
  await keys.restoreKey({ name });
  const [now] = await house.superuser<Record<string, unknown>>(
    "select * from storage.approvals where id = $1",
    [id],
  );
  const put = (row: Record<string, unknown> | undefined) =>
    house.superuser(
      "update storage.approvals set executed_at = $2, executed_by = $3, revision = $4, seal = $5 where id = $1",
      [id, row!.executed_at, row!.executed_by, row!.revision, row!.seal],
    );
  await put(old);
  expect((await refusalOf(keys.destroyKey({ name }))).kind).toBe("integrity");
  await put(now);
});

test("another rule, with a group of one's own, takes nothing away from the first", async () => {
  const cronies = unique("cronies");
  const gang = await Promise.all([1, 2, 3, 4].map(() => house.enrol(unique("crony"))));
  for (const { uri } of gang) await access.addGroupMember({ group: cronies, identity: uri });
  const name = await newKey();
  const rule = { permission: "keys.destroy", resource: name };
  await approvals.setApprovalRule({ ...rule, required: 3, group: cronies });
  await idIn(keys.destroyKey({ name }));
  const [ofCronies] = (await gang[0]!.approvals.listApprovals({})).approvals;
  for (const crony of gang.slice(0, 3)) await consent(crony, ofCronies!.id);
  const id = await idIn(keys.destroyKey({ name }));
  expect((await approvals.getApproval({ id })).approval?.group).toBe(officers);
  await consent(one!, id);
  await consent(two!, id);
  await keys.destroyKey({ name });
  await keys.restoreKey({ name });
  const remove = () => approvals.removeApprovalRule(rule);
  const removal = await idIn(remove());
  for (const crony of gang.slice(0, 3)) await consent(crony, removal);
  await remove();
});

test("a rule is changed and removed by its own quorum, and needs enough who can approve", async () => {
  const change = () =>
    approvals.setApprovalRule({ permission: "keys.destroy", resource: ring, required: 1, group: officers });
  const id = await idIn(change());
  expect((await approvals.getApproval({ id })).approval).toMatchObject({ required: 2, group: officers });
  const few = approvals.setApprovalRule({
    permission: "keys.export",
    resource: ring,
    required: 3,
    group: officers,
  });
  expect((await refusalOf(few)).message).toContain("4 are wanted");
  const odd = approvals.setApprovalRule({
    permission: "keys.encrypt",
    resource: ring,
    required: 1,
    group: officers,
  });
  expect((await refusalOf(odd)).kind).toBe("invalid-argument");
  expect((await approvals.listApprovalRules({})).rules).toContainEqual(
    expect.objectContaining({ permission: "keys.destroy", resource: ring, required: 2 }),
  );
});

test("a rule holds at the generator too, within a second, and a role of the group is its members'", async () => {
  const name = `${ring}/leaving`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm", exportable: true });
  const recipientPublicKey = Buffer.alloc(32, 9);
  const member = three!;
  await access.grantRole({ role: "administrator", identity: `group:${officers}`, resource: ring });
  try {
    await until(async () => (await member.keys.getKey({ name }).catch(() => undefined)) !== undefined, 3000);
    const rule = { permission: "keys.export", resource: name };
    await approvals.setApprovalRule({ ...rule, required: 1, group: officers });
    const asked = () => member.keyGeneration.exportKey({ name, recipientPublicKey });
    await until(
      async () =>
        (await asked().catch((error: Error) => error.message))?.toString().includes("waits") ?? false,
      3000,
    );
    const id = await idIn(asked());
    await consent(one!, id);
    expect((await asked()).version).toBe(1);
    const remove = () => approvals.removeApprovalRule(rule);
    await consent(two!, await idIn(remove()));
    await remove();
  } finally {
    await access.revokeRole({ role: "administrator", identity: `group:${officers}`, resource: ring });
  }
  await until(
    async () => (await refusalOf(member.keys.getKey({ name })).catch(() => undefined))?.kind === "denied",
    3000,
  );
});

test("from the command line: what waits is said with what to do, and approving signs it", async () => {
  const name = await newKey();
  const { code, stderr } = await house.cli(["keys", "destroy", name]);
  expect(code).toBe(5);
  const id = /claviger approvals approve ([0-9a-f-]{36})/.exec(stderr)![1]!;
  const shown = await house.cli(["approvals", "show", id]);
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining(`2 of group ${officers}`) });
  const own = await house.cli(["approvals", "approve", id]);
  expect(own).toMatchObject({ code: 4, stderr: expect.stringContaining("request of their own") });
  const listed = await house.cli(["--json", "approvals", "list", "--state", "waiting"]);
  expect(JSON.parse(listed.stdout).approvals.map((found: { id: string }) => found.id)).toContain(id);
});
