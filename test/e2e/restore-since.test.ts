import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Claviger,
  createClaviger,
  enrollWithToken,
  readConfigFile,
  writeIdentity,
} from "@claviger/client";
import { createRowSealer, type SealedValue } from "@claviger/row-seal";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../harness/installation.ts";
import { OwnInstallation } from "../harness/own-installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const ring = "payments";
const plaintext = Buffer.from("before the fire");

let house: OwnInstallation;
let file: string;
let endings: string;
let destroyAt: string | undefined;
const clients: Claviger[] = [];
const ciphertexts = new Map<string, Uint8Array>();

const inWork = (name: string): string => join(house.workDirectory, name);
const shares = (): string[] => ["--share", inWork("share-1.txt"), "--share", inWork("share-2.txt")];
const restore = (...args: string[]) => house.cli("backup", "restore", "--in", file, ...shares(), ...args);
const stateOf = async ({ keys }: Claviger, name: string) =>
  (await keys.getKey({ name: `${ring}/${name}` })).key!;

async function join_(
  claviger: Claviger,
  name: string,
): Promise<{ client: Claviger; uri: string; serial: string }> {
  const { token } = await claviger.identities.createEnrollmentToken({ name });
  const joined = await enrollWithToken(token);
  mkdirSync(inWork(name));
  writeIdentity(inWork(name), { ...joined, addresses: claviger.addresses });
  const { addresses, identityDirectory, trustDomain } = readConfigFile(join(inWork(name), "claviger.json"));
  const client = createClaviger({ trustDomain, addresses, identityDirectory });
  clients.push(client);
  return { client, uri: joined.identity, serial: client.identity.serial };
}

/** Its week is over: the day is moved as storage itself would have written it. */
async function endWeek(name: string): Promise<void> {
  const [row] = await house.superuser<Record<string, SealedValue>>(
    "SELECT * FROM storage.keys WHERE name = $1",
    [name],
  );
  const destroyed = new Date(Date.now() - 1000);
  const columns: Record<string, SealedValue> = { ...row, destroy_at: destroyed };
  delete columns.seal;
  const camel = (text: string): string =>
    text.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase());
  // Of columns that were added later, those that say something (docs/formats.md).
  const added = ["activate_at", "expire_at", "state_reason", "state_changed_at", "latest_version", "details"];
  const facts = Object.fromEntries(
    Object.entries(columns)
      .filter(([column, value]) => !added.includes(column) || (value !== null && value !== ""))
      .map(([column, value]) => [camel(column), value ?? null]),
  );
  const sealer = createRowSealer(readFileSync(join(house.stateDirectory, "storage", "seal.key")));
  await house.superuser("UPDATE storage.keys SET destroy_at = $2, seal = $3 WHERE name = $1", [
    name,
    destroyed,
    sealer.seal("keys", facts as Record<string, SealedValue>),
  ]);
}

let former: Awaited<ReturnType<typeof join_>>;
let orders: Awaited<ReturnType<typeof join_>>;
let cards: Awaited<ReturnType<typeof join_>>;

beforeAll(async () => {
  house = await OwnInstallation.create();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  file = inWork("claviger.backup");
  endings = inWork("endings.jsonl");
  using claviger = house.connect();
  const { access, cryptography, identities, keyGeneration, keyrings, keys } = claviger;
  await keyrings.createKeyring({ name: ring });
  for (const name of ["quiet", "exposed", "gone", "going", "late"]) {
    await keyGeneration.createKey({ name: `${ring}/${name}`, algorithm: "aes-256-gcm" });
    ciphertexts.set(name, (await cryptography.encrypt({ name: `${ring}/${name}`, plaintext })).ciphertext);
  }
  await keyGeneration.createKeyVersion({ name: `${ring}/quiet` });
  former = await join_(claviger, "former");
  orders = await join_(claviger, "orders");
  cards = await join_(claviger, "cards");
  for (const { uri } of [former, orders])
    await access.grantRole({ role: "user", identity: uri, resource: ring });
  await access.addGroupMember({ group: "tellers", identity: cards.uri });
  await access.grantRole({ role: "user", identity: "group:tellers", resource: ring });
  for (const name of readdirSync(join(house.stateDirectory, "recovery"))) {
    copyFileSync(join(house.stateDirectory, "recovery", name), inWork(name));
  }
  expect((await house.cli("backup", "create", "--out", file)).code).toBe(0);

  // What ended since.
  await keys.changeKeyState({ name: `${ring}/exposed`, state: "compromised", reason: "keyCompromise" });
  await keys.changeKeyState({
    name: `${ring}/quiet`,
    version: 1,
    state: "compromised",
    reason: "keyCompromise",
  });
  destroyAt = JSON.stringify((await keys.destroyKey({ name: `${ring}/going` })).key!.destroyAt, (_, value) =>
    typeof value === "bigint" ? String(value) : value,
  );
  await keys.destroyKey({ name: `${ring}/gone` });
  await endWeek("gone");
  await until(async () => (await stateOf(claviger, "gone")).state === "destroyed", 15_000);
  await identities.revokeIdentity({ name: former.uri, reason: "keyCompromise" });
  await access.revokeRole({ role: "user", identity: orders.uri, resource: ring });
  await access.removeGroupMember({ group: "tellers", identity: cards.uri });
  const written = await house.cli("--json", "backup", "endings", "--out", endings);
  expect(written.code, written.stderr).toBe(0);
  expect(written.json().count).toBeGreaterThanOrEqual(6);
  expect(await house.cli("backup", "endings", "--out", endings)).toMatchObject({ code: 5 });
  // And what nobody wrote down.
  await keys.changeKeyState({ name: `${ring}/late`, state: "compromised", reason: "keyCompromise" });
}, 240_000);
afterAll(async () => {
  for (const client of clients) client.close();
  await house?.[Symbol.asyncDispose]();
});

test("a file of endings that was edited, cut or is another installation's is refused, and nothing was changed", {
  timeout: 120_000,
}, async () => {
  const lines = readFileSync(endings, "utf8").trimEnd().split("\n");
  const forged = inWork("forged.jsonl");
  const supervisor = () => readFileSync(join(house.stateDirectory, "run", "supervisor.json"), "utf8");
  const before = supervisor();
  const target = lines.findIndex((line) => line.includes('"compromised"'));
  for (const [what, changed] of [
    [
      "line 1 was not written",
      lines.map((line) => line.replace('"compromised"', '"suspended"')).slice(target),
    ],
    ["endings were written, and", [...lines.slice(0, target), ...lines.slice(target + 1)]],
    ["the end of the file of endings is missing", lines.slice(0, -1)],
    ["is nothing that `backup endings` wrote", [...lines, lines[0]!]],
    ["line 1 is nothing that", ["not", "endings"]],
  ] as const) {
    writeFileSync(forged, `${changed.join("\n")}\n`);
    const { code, stderr } = await restore("--since", forged, "--replace");
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining(what) });
  }
  expect(supervisor()).toBe(before);
});

test("what was destroyed, revoked and taken back since the backup is so after its restore into another HSM", {
  timeout: 240_000,
}, async () => {
  await house.destroy();
  expect((await house.start()).code).toBe(0);
  const { code, stderr, stdout } = await restore("--since", endings);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain("endings until");
  expect(stdout).toContain("every key is suspended");
  using claviger = house.connect();
  const { access, cryptography, identities, certificates, keys } = claviger;
  expect((await stateOf(claviger, "exposed")).state).toBe("compromised");
  expect((await stateOf(claviger, "gone")).state).toBe("destroyed");
  const [{ count }] = (await house.superuser(
    `SELECT count(v.material)::integer AS count FROM storage.key_versions v JOIN storage.keys k ON k.id = v.key_id WHERE k.name = 'gone'`,
  )) as [{ count: number }];
  expect(count, "no material of what was destroyed").toBe(0);
  const going = JSON.stringify((await stateOf(claviger, "going")).destroyAt, (_, value) =>
    typeof value === "bigint" ? String(value) : value,
  );
  expect(going).toBe(destroyAt);
  const { versions } = await keys.listKeyVersions({ name: `${ring}/quiet` });
  expect(versions.find(({ version }) => version === 1)!.state).toBe("compromised");
  // What nobody wrote down is not known: it waits for somebody to look.
  for (const name of ["late", "quiet"]) expect((await stateOf(claviger, name)).state, name).toBe("suspended");
  for (const name of ["exposed", "gone"]) {
    const refusal = await refusalOf(keys.changeKeyState({ name: `${ring}/${name}`, state: "active" }));
    expect(refusal.kind, name).toBe("failed-precondition");
  }

  expect((await refusalOf(former.client.access.listRoles({}))).message).toContain("revoked");
  await until(
    async () =>
      (await certificates.getCertificate({ serial: former.serial })).certificate?.revokedAt !== undefined,
    15_000,
  );
  const { identities: known } = await identities.listIdentities({});
  expect(known.find(({ identity }) => identity === former.uri)).toMatchObject({ state: "revoked" });
  await keys.changeKeyState({ name: `${ring}/quiet`, state: "active" });
  for (const { client, uri } of [orders, cards]) {
    const use = client.cryptography.decrypt({ name: `${ring}/quiet`, ciphertext: ciphertexts.get("quiet")! });
    expect((await refusalOf(use)).kind, uri).toBe("denied");
  }
  expect((await access.listBindings({ identity: orders.uri })).bindings).toEqual([]);
  const answer = await cryptography.decrypt({ name: `${ring}/quiet`, ciphertext: ciphertexts.get("quiet")! });
  expect(Buffer.from(answer.plaintext)).toEqual(plaintext);
  const doctor = await house.cli("--json", "doctor");
  expect(doctor.json().findings).toEqual([]);
});

test("an installation that is replaced by an older backup of its own hands over what it knows itself", {
  timeout: 240_000,
}, async () => {
  {
    using claviger = house.connect();
    await claviger.keys.changeKeyState({
      name: `${ring}/late`,
      state: "compromised",
      reason: "keyCompromise",
    });
  }
  const { code, stderr } = await restore("--replace");
  expect(code, stderr).toBe(0);
  expect(stderr).toContain("this installation itself knows");
  using claviger = house.connect();
  for (const name of ["late", "exposed"])
    expect((await stateOf(claviger, name)).state, name).toBe("compromised");
  expect((await stateOf(claviger, "gone")).state).toBe("destroyed");
  expect((await refusalOf(former.client.access.listRoles({}))).message).toContain("revoked");
  expect(readdirSync(house.stateDirectory)).not.toContain("endings.own");
});
