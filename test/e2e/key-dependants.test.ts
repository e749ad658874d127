import { randomUUID } from "node:crypto";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { afterAll, describe, expect, test } from "vitest";
import { concealWhatIsInClear } from "../../services/storage/src/concealment.ts";
import { countReport } from "../../services/storage/src/key-callers.ts";
import { requireKey } from "../../services/storage/src/registry.ts";
import { updateKey } from "../../services/storage/src/store/keys.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { RegistryAccess } from "../harness/registry-access.ts";

const house = useInstallation();
const { access, approvals, keyGeneration, keyrings, keys } = house.claviger;
const registry = new RegistryAccess(house);
afterAll(() => registry[Symbol.asyncDispose]());
const plaintext = Buffer.from("used by somebody");
const inDays = (days: number) => timestampFromDate(new Date(Date.now() + days * 86_400_000));

async function newKey(options: object = {}): Promise<string> {
  const ring = unique("deps");
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name: `${ring}/k`, algorithm: "aes-256-gcm", ...options });
  return `${ring}/k`;
}

async function namesFound(search: object): Promise<string[]> {
  return (await keys.listKeys(search)).keys.map(({ name }) => name);
}

/** The tables of storage in which a word stands, as text or in bytes. */
async function tablesWith(word: string): Promise<string[]> {
  const tables = await house.superuser<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'storage'",
  );
  const found: string[] = [];
  for (const { name } of tables) {
    const rows = await house.superuser<{ row: string }>(`select t::text as row from storage.${name} t`);
    const hex = Buffer.from(word).toString("hex");
    if (rows.some(({ row }) => row.includes(word) || row.includes(hex))) found.push(name);
  }
  return found;
}

describe("labels, owner and description", () => {
  test("are kept with the key, found exactly, and changed one by one", async () => {
    const team = unique("team");
    const name = await newKey({
      labels: { team, environment: "production" },
      owner: "Ada Lovelace",
      description: "numbers that nobody else may read",
    });
    const { key } = await keys.getKey({ name });
    expect(key).toMatchObject({
      labels: { team, environment: "production" },
      owner: "Ada Lovelace",
      description: "numbers that nobody else may read",
      createdBy: `spiffe://${house.trustDomain}/user/administrator`,
    });
    expect(await namesFound({ labels: { team } })).toEqual([name]);
    expect(await namesFound({ labels: { team, environment: "production" } })).toEqual([name]);
    expect(await namesFound({ labels: { team, environment: "test" } })).toEqual([]);
    expect(await namesFound({ labels: { team: team.slice(0, -1) } })).toEqual([]);
    expect(await namesFound({ labels: { team }, owner: "Ada Lovelace" })).toEqual([name]);
    expect(await namesFound({ labels: { team }, owner: "Ada" })).toEqual([]);
    expect(await namesFound({ labels: { team }, keyring: name.split("/")[0] })).toEqual([name]);
    await keys.describeKey({ name, labels: { tier: "1" }, removeLabels: ["environment"], owner: "" });
    expect((await keys.getKey({ name })).key).toMatchObject({ labels: { team, tier: "1" }, owner: "" });
    expect(await namesFound({ labels: { environment: "production" } })).not.toContain(name);
    const [line] = (await house.cli(["keys", "list", "--label", `team=${team}`])).stdout.split("\n").slice(1);
    expect(line).toContain(name);
    const labelled = await house.cli([
      "keys",
      "label",
      name,
      "tier=2",
      "--owner",
      "the billing team",
      "--json",
    ]);
    expect(labelled.json()).toMatchObject({ labels: { team, tier: "2" }, owner: "the billing team" });
  });

  test("page by page, a search gives every key once, and nobody sees what their roles do not reach", async () => {
    const team = unique("team");
    const ring = unique("deps");
    await keyrings.createKeyring({ name: ring });
    const names = Array.from({ length: 7 }, (_, at) => `${ring}/k${at}`);
    for (const name of names)
      await keyGeneration.createKey({ name, algorithm: "aes-256-gcm", labels: { team } });
    const elsewhere = await newKey({ labels: { team } });
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await keys.listKeys({ labels: { team }, pageSize: 3, pageToken });
      found.push(...page.keys.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual([...names, elsewhere].sort());
    const some = await house.enrol(unique("some"), "user", names[4]);
    await access.grantRole({ role: "user", identity: some.uri, resource: elsewhere });
    const reached = [names[4]!, elsewhere].sort();
    const listed = async (search: object) => (await some.keys.listKeys(search)).keys.map(({ name }) => name);
    expect(await listed({ labels: { team } })).toEqual(reached);
    expect(await listed({})).toEqual(reached);
    expect(await listed({ keyring: ring })).toEqual([names[4]]);
    expect(await listed({ pageSize: 1 })).toEqual(reached.slice(0, 1));
  });

  test("that are malformed are refused", async () => {
    const name = await newKey();
    for (const change of [
      {},
      { labels: { Team: "x" } },
      { labels: { "": "x" } },
      { labels: { __proto__x: "y" } },
      { labels: { team: "a\nb" } },
      { labels: { team: "x".repeat(129) } },
      { labels: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`l${at}`, "x"])) },
      { owner: "x".repeat(201) },
      { description: "\u001b[31m" },
      { removeLabels: ["not a name"] },
    ]) {
      const { kind } = await refusalOf(keys.describeKey({ name, ...change }));
      expect(kind, JSON.stringify(change).slice(0, 60)).toBe("invalid-argument");
    }
    expect((await house.cli(["keys", "list", "--label", "team"])).code).toBe(2);
  });

  test("stand in the database for nobody to read, wherever a request leaves them", async () => {
    const word = unique("confidential");
    const name = await newKey({
      labels: { [word]: `value-${word}` },
      owner: `owner-${word}`,
      description: `what-${word}`,
    });
    await keys.describeKey({ requestId: randomUUID(), name, description: `again-${word}` });
    await keys.placeHold({ requestId: randomUUID(), name, reason: `hold-${word}` });
    await keys.placeHold({ name, reason: `case-${word}`, kind: "legal" });
    const who = unique("someone");
    const consumer = await house.enrol(who, "user", name);
    await keys.placeHold({ name, reason: "reads", kind: "consumer", holder: consumer.uri });
    await consumer.cryptography.encrypt({ name, plaintext });
    await until(async () => (await keys.listKeyCallers({ name })).callers.length > 0, 15_000);
    // Under a rule, the request itself waits for its approvers.
    const group = unique("readers");
    for (let at = 0; at < 2; at += 1) {
      const { uri } = await house.enrol(`user/${unique("r")}`);
      await access.addGroupMember({ group, identity: uri });
    }
    await approvals.setApprovalRule({ permission: "keys.configure", resource: name, required: 1, group });
    const asked = await refusalOf(keys.describeKey({ name, labels: { later: `asked-${word}` } }));
    expect(asked.message).toContain("approv");
    const waiting = (await approvals.listApprovals({})).approvals.find(({ resource }) => resource === name);
    expect(waiting!.request).toContain(`asked-${word}`);
    expect(await tablesWith(word)).toEqual([]);
    // A binding names its identity in clear (docs/formats.md says what does, and why), and a record on its way to the log.
    expect((await tablesWith(who)).filter((table) => !["role_bindings", "outbox"].includes(table))).toEqual(
      [],
    );
    const [row] = await house.superuser<{ holder: null; reason: null }>(
      "select holder, reason from storage.holds h join storage.keys k on k.id = h.key_id where keyring || '/' || k.name = $1",
      [name],
    );
    expect(row).toEqual({ holder: null, reason: null });
  });

  test("of rows that an older Claviger wrote in clear are encrypted before anything is served", async () => {
    const name = await newKey();
    const owner = unique("old-owner");
    const [holdId, reason] = [randomUUID(), unique("old-reason")];
    await registry.run(async (one) => {
      const key = await requireKey(one, name, "lock");
      await updateKey(one.tx, one.sealer, { ...key, owner, details: null });
      const row = { id: holdId, keyId: key.id, holder: "spiffe://old/user/ada", reason, placedAt: one.now };
      await one.tx.query(
        "INSERT INTO holds (id, key_id, holder, reason, placed_at, seal) VALUES ($1, $2, $3, $4, $5, $6)",
        [...Object.values(row), one.sealer.seal("holds", row)],
      );
    });
    expect((await keys.getKey({ name })).key).toMatchObject({ owner, holds: [{ kind: "hold", reason }] });
    expect(await tablesWith(owner)).toEqual(["keys"]);
    expect(await tablesWith(reason)).toEqual(["holds"]);
    for (let time = 0; time < 2; time += 1) {
      await concealWhatIsInClear({ work: registry.work, open: registry.open });
      expect((await keys.getKey({ name })).key).toMatchObject({ owner, holds: [{ kind: "hold", reason }] });
      expect(await namesFound({ owner })).toEqual([name]);
      expect([...(await tablesWith(owner)), ...(await tablesWith(reason))]).toEqual([]);
    }
  });

  test("of one key in another's place are not taken for its own", async () => {
    const [mine, other] = [await newKey({ owner: "mine" }), await newKey({ owner: "other" })];
    const [row] = await house.superuser<{ id: string; details: Buffer }>(
      "select id, details from storage.keys where keyring || '/' || name = $1",
      [mine],
    );
    await house.superuser(
      "update storage.keys set details = (select details from storage.keys where keyring || '/' || name = $2) where id = $1",
      [row!.id, other],
    );
    expect(await refusalOf(keys.getKey({ name: mine }))).toMatchObject({ kind: "integrity" });
    await house.superuser("update storage.keys set details = $2 where id = $1", [row!.id, row!.details]);
    expect((await keys.getKey({ name: mine })).key!.owner).toBe("mine");
  });

  test("are not found by an index that somebody else wrote", async () => {
    const [labelled, planted] = [await newKey({ labels: { a: unique("v") } }), await newKey()];
    const labels = (await keys.getKey({ name: labelled })).key!.labels;
    await house.superuser(
      `insert into storage.key_search (digest, keyring, name, key_id)
       select s.digest, p.keyring, p.name, p.id from storage.key_search s, storage.keys l, storage.keys p
       where s.key_id = l.id and l.keyring || '/' || l.name = $1 and p.keyring || '/' || p.name = $2
       on conflict do nothing`,
      [labelled, planted],
    );
    expect(await namesFound({ labels })).toEqual([labelled]);
  });
});

describe("what depends on a key", () => {
  test("keeps it from being destroyed, by name, until it ends or has ended by itself", async () => {
    const name = await newKey();
    const consumer = await house.enrol(unique("consumer"), "user", name);
    const asConsumer = { name, kind: "consumer", holder: consumer.uri, reason: "reads the archive" };
    await keys.placeHold(asConsumer);
    expect((await refusalOf(keys.placeHold(asConsumer))).kind).toBe("already-exists");
    const { hold: legal } = await keys.placeHold({ name, kind: "legal", reason: "case 17" });
    await keys.placeHold({
      name,
      kind: "certificate",
      reason: "signs until then",
      expiresAt: inDays(1 / 43_200),
    });
    const refusal = await refusalOf(keys.destroyKey({ name }));
    expect(refusal.kind).toBe("failed-precondition");
    for (const named of [consumer.uri, "reads the archive", "case 17", "legal hold", "certificate"]) {
      expect(refusal.message).toContain(named);
    }
    expect((await keys.getKey({ name })).key!.holds.map(({ kind }) => kind).sort()).toEqual([
      "certificate",
      "consumer",
      "legal",
    ]);
    const listed = await house.cli(["keys", "consumers", "list", name, "--json"]);
    expect(listed.json().consumers).toMatchObject([{ holder: consumer.uri }]);
    const who = consumer.uri.split("/").at(-1)!;
    expect((await house.cli(["keys", "consumers", "remove", name, "--who", who])).code).toBe(0);
    expect((await house.cli(["keys", "consumers", "remove", name, "--who", who])).code).toBe(3);
    const colleague = await house.enrol(unique("colleague"), "administrator", name);
    await colleague.keys.releaseHold({ name, holdId: legal!.id });
    await until(async () => (await keys.getKey({ name })).key!.holds.length === 0, 5000);
    expect((await keys.destroyKey({ name })).key!.destroyAt).toBeDefined();
    expect((await refusalOf(keys.placeHold({ name, reason: "too late" }))).kind).toBe("failed-precondition");
  });

  test("is somebody's own to end, where it is a plain hold; and is somebody, where it is a consumer", async () => {
    const name = await newKey();
    const { hold } = await keys.placeHold({ name, reason: "mine" });
    const colleague = await house.enrol(unique("colleague"), "administrator", name);
    expect((await refusalOf(colleague.keys.releaseHold({ name, holdId: hold!.id }))).kind).toBe("not-found");
    for (const wrong of [
      { kind: "boredom", reason: "x" },
      { reason: "" },
      { reason: "for another", holder: colleague.uri },
      { kind: "consumer", reason: "x", holder: "somebody" },
      { reason: "over", expiresAt: inDays(-1) },
    ]) {
      expect(
        (await refusalOf(keys.placeHold({ name, ...wrong }))).kind,
        JSON.stringify(Object.keys(wrong)),
      ).toBe("invalid-argument");
    }
  });

  test("yields to the approval of others, and to nothing less", async () => {
    const name = await newKey();
    await keys.placeHold({ name, kind: "legal", reason: "case 18" });
    const nobody = await refusalOf(keys.destroyHeldKey({ name }));
    expect(nobody).toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining("to be approved"),
    });
    const group = unique("officers");
    const officers = [];
    for (let at = 0; at < 2; at += 1) {
      const officer = await house.enrol(`user/${unique("officer")}`);
      await access.addGroupMember({ group, identity: officer.uri });
      officers.push(officer);
    }
    await approvals.setApprovalRule({ permission: "keys.destroy-held", resource: name, required: 1, group });
    const waits = await refusalOf(keys.destroyHeldKey({ name }));
    expect(waits.message).toMatch(/approval/);
    expect((await keys.getKey({ name })).key!.destroyAt).toBeUndefined();
    const waiting = (await approvals.listApprovals({})).approvals.find(({ resource }) => resource === name)!;
    const line = ["approvals", "approve", waiting.id];
    expect((await house.cli(line, { config: officers[0]!.configPath })).code).toBe(0);
    const done = await house.cli(["keys", "destroy", name, "--despite-holds", "--json"]);
    expect(done.code).toBe(0);
    expect(done.json().destroyAt).toMatch(/^\d{4}-/);
    // A rule for plain destructions is to be met besides.
    const both = await newKey();
    await keys.placeHold({ name: both, reason: "kept" });
    for (const [permission, required] of [
      ["keys.destroy-held", 1],
      ["keys.destroy", 2],
    ] as const) {
      const other = unique("more");
      for (let at = 0; at <= required; at += 1) {
        const { uri } = await house.enrol(`user/${unique("m")}`);
        await access.addGroupMember({ group: other, identity: uri });
      }
      await approvals.setApprovalRule({ permission, resource: both, required, group: other });
    }
    await refusalOf(keys.destroyHeldKey({ name: both }));
    const asked = (await approvals.listApprovals({})).approvals.filter(({ resource }) => resource === both);
    expect(asked.map(({ required }) => required).sort()).toEqual([1, 2]);
    // Used up.
    await keys.restoreKey({ name });
    expect((await refusalOf(keys.destroyHeldKey({ name }))).message).toMatch(/approval/);
  });
});

describe("who still uses a version, and since when", () => {
  test("is counted by caller and version, in single calls and in batches, and shown", async () => {
    const name = await newKey();
    const [one, other] = [
      await house.enrol(unique("one"), "user", name),
      await house.enrol(unique("other"), "user", name),
    ];
    const began = Date.now();
    const { ciphertext } = await one.cryptography.encrypt({ name, plaintext });
    await one.cryptography.encryptBatch({ name, items: Array.from({ length: 5 }, () => ({ plaintext })) });
    await keyGeneration.createKeyVersion({ name });
    await until(async () => (await one.cryptography.encrypt({ name, plaintext })).version === 2, 5000);
    const second = await one.cryptography.encrypt({ name, plaintext });
    await other.cryptography.decryptBatch({
      name,
      items: [{ ciphertext }, { ciphertext: second.ciphertext }, { ciphertext: Buffer.alloc(60) }],
    });
    // What fails uses nothing.
    const damaged = Buffer.from(ciphertext);
    damaged[damaged.length - 1]! ^= 1;
    expect((await refusalOf(other.cryptography.decrypt({ name, ciphertext: damaged }))).kind).toBe(
      "integrity",
    );
    const { value: callers } = await until(async () => {
      const found = (await keys.listKeyCallers({ name })).callers;
      return found.length === 4 ? found : undefined;
    }, 20_000);
    const usesOf = (caller: string, version: number): bigint =>
      callers.find((row) => row.caller === caller && row.version === version)!.uses;
    // The rotation may have been seen a call or two late.
    expect(usesOf(one.uri, 1)).toBeGreaterThanOrEqual(6n);
    expect(usesOf(one.uri, 1)).toBeLessThan(100n);
    expect(usesOf(other.uri, 1)).toBe(1n);
    expect(usesOf(other.uri, 2)).toBe(1n);
    for (const { firstUsedAt, lastUsedAt } of callers) {
      const [first, last] = [timestampDate(firstUsedAt!).getTime(), timestampDate(lastUsedAt!).getTime()];
      expect(first).toBeGreaterThan(began - 1000);
      expect(last).toBeGreaterThanOrEqual(first);
    }
    expect(
      (await keys.listKeyCallers({ name, version: 2 })).callers.every(({ version }) => version === 2),
    ).toBe(true);
    const { versions } = await keys.listKeyVersions({ name });
    expect(versions.map(({ callers: count }) => count)).toEqual([2, 2]);
    const shown = await house.cli(["keys", "show", name]);
    expect(shown.stdout).toContain(one.uri.split("/").at(-1));
    expect((await house.cli(["keys", "show", name, "--json"])).json().callers.length).toBe(4);
    expect((await house.cli(["keys", "callers", `${name}@1`])).stdout).toContain("USED BY");
  });

  test("is counted once for each report, however often it comes, and not for versions that are not there", async () => {
    const name = await newKey();
    const now = new Date();
    const use = {
      name,
      version: 1,
      caller: `spiffe://${house.trustDomain}/workload/reported`,
      uses: 7,
      firstUsedAt: now,
      lastUsedAt: new Date(now.getTime() + 3_600_000),
    };
    const report = { reporter: randomUUID(), sequence: 1n, uses: [use, { ...use, version: 9 }] };
    const counted = await Promise.all(
      Array.from({ length: 5 }, () => registry.run((one) => countReport(one, report))),
    );
    expect(counted.filter(Boolean).length).toBe(1);
    await registry.run((one) => countReport(one, { ...report, sequence: 2n }));
    const { callers } = await keys.listKeyCallers({ name });
    expect(callers).toMatchObject([{ version: 1, uses: 14n }]);
    // A clock that goes ahead does not tell of uses to come.
    expect(timestampDate(callers[0]!.lastUsedAt!).getTime()).toBeLessThan(Date.now() + 1000);
  });

  test("is bounded: callers beyond a thousand are counted together", async () => {
    const name = await newKey();
    const now = new Date();
    const useOf = (at: number) => ({
      name,
      version: 1,
      caller: `spiffe://${house.trustDomain}/workload/many-${at}`,
      uses: 1,
      firstUsedAt: now,
      lastUsedAt: now,
    });
    const reporter = randomUUID();
    for (const [sequence, from] of [
      [1n, 0],
      [2n, 700],
    ] as const) {
      const uses = Array.from({ length: 700 }, (_, at) => useOf(from + at));
      await registry.run((one) => countReport(one, { reporter, sequence, uses }));
    }
    const { versions } = await keys.listKeyVersions({ name });
    expect(versions).toMatchObject([{ uses: 1400n, callers: 1001 }]);
  });

  test("is told to who may look at the key, and reported by the generator alone", async () => {
    const name = await newKey();
    const outsider = await house.enrol(unique("outsider"));
    expect((await refusalOf(outsider.keys.listKeyCallers({ name }))).kind).toBe("denied");
  });
});
