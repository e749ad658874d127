import { expect, test } from "vitest";
import { killPart, untilAllRun } from "../chaos/workload.ts";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { freshKey } from "./attacker.ts";

// The attacker writes the database as its superuser, and puts back genuine rows of earlier: seal and all.
const house = useInstallation();
const { access, cryptography, identities, keyGeneration, keyrings, keys, registry } = house.claviger;
const plaintext = Buffer.from("the plaintext");

type Row = Record<string, unknown>;

interface Finding {
  table: string;
  row: string;
  what: string;
}

async function findings(): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const answer of registry.checkRegistry({})) found.push(...answer.findings);
  return found;
}

/** Rows as they are now, and what puts them back as they were, whatever is there by then. */
async function copyOf(table: string, where: string, values: unknown[]) {
  const rows = await house.superuser<Row>(`select * from storage.${table} where ${where}`, values);
  expect(rows.length).toBeGreaterThan(0);
  return async (): Promise<void> => {
    for (const row of rows) {
      const names = Object.keys(row);
      const places = names.map((_, at) => `$${at + 1}`).join(", ");
      await house.superuser(
        `insert into storage.${table} (${names.join(", ")}) values (${places})
         on conflict on constraint ${table}_pkey do update set ${names.map((name) => `${name} = excluded.${name}`).join(", ")}`,
        Object.values(row),
      );
    }
  };
}

async function idOf(name: string): Promise<string> {
  const [row] = await house.superuser<{ id: string }>(
    "select id from storage.keys where keyring || '/' || name = $1",
    [name],
  );
  return row!.id;
}

/** The supervisor takes a moment to notice a death. */
function runsAnew(killed: number): boolean {
  try {
    return house.pidOf("storage") !== killed;
  } catch {
    return false;
  }
}

/** The kind of refusal once leases have ended. */
async function refusedAs(kind: string, call: () => Promise<unknown>): Promise<void> {
  await until(
    async () =>
      (await call().then(
        () => "answered",
        (error: { kind: string }) => error.kind,
      )) === kind,
    15_000,
  );
}

test("a key that was compromised is not active again by its old row: refused at use, named by the scan", async () => {
  const name = await freshKey(house);
  const id = await idOf(name);
  const putBack = await copyOf("keys", "id = $1", [id]);
  await keys.changeKeyState({ name, state: "compromised", reason: "keyCompromise" });
  const mend = await copyOf("keys", "id = $1", [id]);
  await putBack();
  const refusal = await refusalOf(keys.getKey({ name }));
  expect(refusal.kind).toBe("integrity");
  expect(refusal.message).toContain(`${name} is an older one put back: it was at revision 2, and is at 1`);
  await refusedAs("integrity", () => cryptography.encrypt({ name, plaintext }));
  expect(await findings()).toContainEqual(
    expect.objectContaining({
      table: "keys",
      row: name,
      what: expect.stringContaining("older one put back"),
    }),
  );
  const { code, stdout } = await house.cli(["doctor"]);
  expect(code).toBe(5);
  expect(stdout).toContain(name);
  await mend();
  expect((await keys.getKey({ name })).key?.state).toBe("compromised");
});

test("a version's old state is found", async () => {
  const name = await freshKey(house);
  const id = await idOf(name);
  await cryptography.encrypt({ name, plaintext });
  await keyGeneration.createKeyVersion({ name });
  const putBack = [await copyOf("key_versions", "key_id = $1", [id])];
  await keys.changeKeyState({ name, version: 1, state: "compromised", reason: "keyCompromise" });
  const mend = await copyOf("key_versions", "key_id = $1", [id]);
  for (const put of putBack) await put();
  expect(await findings()).toContainEqual(
    expect.objectContaining({ table: "key_versions", row: `version 1 of key ${id}` }),
  );
  await mend();
});

test("a role that was taken back does not come back with its row, and a revocation does not go with it", async () => {
  const client = await house.enrol(unique("former"), "user");
  const binding = { role: "user", identity: client.uri, resource: "*" };
  const putBack = await copyOf("role_bindings", "identity = $1", [client.uri]);
  await access.revokeRole(binding);
  await putBack();
  expect((await refusalOf(access.explainAccess({ identity: client.uri, permission: "keys.get" }))).kind).toBe(
    "integrity",
  );
  await refusedAs("integrity", () => client.cryptography.generateRandom({ sizeBytes: 16 }));
  expect(await findings()).toContainEqual(
    expect.objectContaining({
      table: "role_bindings",
      row: `user for ${client.uri} on *`,
      what: expect.stringContaining("taken away"),
    }),
  );
  await house.superuser("delete from storage.role_bindings where identity = $1", [client.uri]);

  await identities.revokeIdentity({ name: client.uri, reason: "keyCompromise" });
  const revocations = await copyOf("revocations", "subject = $1", [`identity:${client.uri}`]);
  await house.superuser("delete from storage.revocations where subject = any($1)", [
    [`identity:${client.uri}`, `serial:${client.identity.serial}`],
  ]);
  expect((await refusalOf(client.access.listRoles({}))).kind).toBe("denied");
  expect(await findings()).toContainEqual(
    expect.objectContaining({ table: "revocations", row: `identity:${client.uri}` }),
  );
  await revocations();
});

test("rows that are gone are named: a key, a hold, a binding, a keyring's new generation", async () => {
  const name = await freshKey(house);
  const keyring = name.split("/")[0]!;
  const id = await idOf(name);
  const { hold } = await keys.placeHold({ name, reason: "a case" });
  const client = await house.enrol(unique("bound"), "user");
  await keyrings.rotateKeyring({ name: keyring });
  const gone: [string, string, unknown[]][] = [
    ["holds", "id = $1", [hold!.id]],
    ["role_bindings", "identity = $1", [client.uri]],
  ];
  const mend = [];
  for (const [table, where, values] of gone) {
    mend.push(await copyOf(table, where, values));
    await house.superuser(`delete from storage.${table} where ${where}`, values);
  }
  // The key with everything that is its own, past the references' own rules.
  const tables = ["keys", "key_versions", "key_uses", "generation_records", "material_digests"];
  const column = (table: string): string => (table === "keys" ? "id" : "key_id");
  await house.superuser(
    `do $$ begin set local session_replication_role = replica; ${tables
      .map(
        (
          table,
        ) => `create table storage.gone_${table} as select * from storage.${table} where ${column(table)} = '${id}';
          delete from storage.${table} where ${column(table)} = '${id}';`,
      )
      .join("\n")} end $$`,
  );
  try {
    const found = await findings();
    for (const [table, row] of [
      ["holds", hold!.id],
      ["role_bindings", `user for ${client.uri} on *`],
      ["keys", name],
      ["key_versions", `${id}, 1`],
    ]) {
      expect(found).toContainEqual(
        expect.objectContaining({ table, row, what: expect.stringContaining("is gone") }),
      );
    }
  } finally {
    await house.superuser(
      `do $$ begin ${tables.map((table) => `insert into storage.${table} select * from storage.gone_${table}; drop table storage.gone_${table};`).join("\n")} end $$`,
    );
    for (const put of mend) await put();
  }
  expect((await findings()).filter(({ what }) => what.includes(name) || what.includes(id))).toEqual([]);
});

test("what Claviger itself takes away is not missed, and may come again", async () => {
  const name = await freshKey(house);
  const { hold } = await keys.placeHold({ name, reason: "a case" });
  await keys.releaseHold({ name, holdId: hold!.id });
  const client = await house.enrol(unique("again"), "user");
  const binding = { role: "user", identity: client.uri, resource: "*" };
  await access.revokeRole(binding);
  await access.grantRole(binding);
  const found = await findings();
  expect(found.filter(({ table }) => table === "withdrawals")).toEqual([]);
  for (const what of [hold!.id, client.uri]) {
    expect(found.filter(({ row }) => row.includes(what))).toEqual([]);
  }
  expect((await client.access.listRoles({})).roles.length).toBeGreaterThan(0);
});

test("a whole table put back to an earlier day is found row by row, also after storage was killed", async () => {
  const names = [await freshKey(house), await freshKey(house), await freshKey(house)];
  await house.superuser("create table storage.yesterday as select * from storage.keys");
  for (const name of names) await keys.changeKeyState({ name, state: "suspended" });
  await house.superuser("create table storage.today as select * from storage.keys");
  const put = (table: string): Promise<unknown> =>
    house.superuser(
      `update storage.keys k set state = t.state, revision = t.revision, seal = t.seal from storage.${table} t where t.id = k.id`,
    );
  await put("yesterday");
  try {
    const killed = house.pidOf("storage");
    killPart(house, "storage");
    await until(() => runsAnew(killed), 30_000);
    await untilAllRun(house);
    const found = (await findings()).filter(({ table }) => table === "keys").map(({ row }) => row);
    for (const name of names) expect(found).toContain(name);
  } finally {
    await put("today");
    await house.superuser("drop table storage.yesterday, storage.today");
  }
});

test("taking away the row of installation makes nobody the first administrator again", async () => {
  const putBack = await copyOf("installation", "id = 1", []);
  await house.superuser("delete from storage.installation");
  try {
    expect(await findings()).toContainEqual(expect.objectContaining({ table: "installation" }));
  } finally {
    await putBack();
  }
});
