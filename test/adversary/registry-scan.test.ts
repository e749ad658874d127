import { randomUUID } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { freshKey, stolenCredentials } from "./attacker.ts";
import { NatsClient } from "./nats-client.ts";

const house = useInstallation();
const { cryptography, keyGeneration, keys, registry } = house.claviger;
const plaintext = Buffer.from("the plaintext");

interface Finding {
  table: string;
  row: string;
}

/** What other tests have left as it should not be. */
const known = new Set<string>();
beforeAll(async () => {
  for (const finding of await findings()) known.add(JSON.stringify(finding));
});

async function findings(): Promise<Finding[]> {
  const found: Finding[] = [];
  let done = false;
  for await (const answer of registry.checkRegistry({})) {
    found.push(...answer.findings.map(({ row, table }) => ({ table, row })));
    ({ done } = answer);
  }
  expect(done).toBe(true);
  return found.filter((finding) => !known.has(JSON.stringify(finding)));
}

async function idOf(name: string): Promise<string> {
  const [row] = await house.superuser<{ id: string }>(
    "select id from storage.keys where keyring || '/' || name = $1",
    [name],
  );
  return row!.id;
}

test("material that changed places is refused where it is used, told of, and both rows are named by doctor", async () => {
  const [one, other] = [await freshKey(house), await freshKey(house)];
  const { ciphertext } = await cryptography.encrypt({ name: one, plaintext });
  const ids = [await idOf(one), await idOf(other)];
  const swap = `update storage.key_versions v set material = w.material from storage.key_versions w
    where v.version = 1 and w.version = 1 and v.key_id = any($1) and w.key_id = any($1) and v.key_id <> w.key_id`;
  using bus = await NatsClient.open({
    port: house.ports.nats,
    credentials: stolenCredentials(house, "generator"),
  });
  await bus.subscribe("claviger.events.storage.>");
  await house.superuser(swap, [ids]);
  try {
    const refused = async () => {
      const refusal = await refusalOf(cryptography.decrypt({ name: one, ciphertext }));
      return refusal.kind === "integrity" && refusal.message.includes(ids[0]!);
    };
    // A key that is loaded goes on until its lease ends.
    await until(refused, 15_000);
    await until(() => bus.heard.includes("registry.row-changed") && bus.heard.includes(ids[0]!), 5000);
    const rows = (await findings()).filter(({ table }) => table === "key_versions").map(({ row }) => row);
    expect(rows.sort()).toEqual(ids.map((id) => `version 1 of key ${id}`).sort());
    const { code, stdout } = await house.cli(["doctor"]);
    expect(code).toBe(5);
    for (const name of [one, other]) expect(stdout).toContain(`${name}@1`);
  } finally {
    await house.superuser(swap, [ids]);
  }
  expect(await findings()).toEqual([]);
  expect(Buffer.from((await cryptography.decrypt({ name: one, ciphertext })).plaintext)).toEqual(plaintext);
});

test("the scan finds a row of any sealed table that was written past Claviger, and one that is missing", async () => {
  const name = await freshKey(house);
  const id = await idOf(name);
  const keyring = name.split("/")[0]!;
  await keyGeneration.createKeyVersion({ name });
  const { hold } = await keys.placeHold({ name, reason: "a case" });
  const thief = `spiffe://${house.trustDomain}/workload/${unique("thief")}`;
  const binding = randomUUID();
  const seal = Buffer.alloc(33, 1);
  /** Each change and the row that the scan must name; taken back at the end. */
  const changes: { sql: string; back: string; values: unknown[]; table: string; row: string }[] = [
    {
      sql: "update storage.keys set owner = owner || 'x' where id = $1",
      back: "update storage.keys set owner = left(owner, -1) where id = $1",
      values: [id],
      table: "keys",
      row: name,
    },
    {
      sql: "update storage.key_uses set reserved = reserved + 1 where key_id = $1 and version = 1",
      back: "update storage.key_uses set reserved = reserved - 1 where key_id = $1 and version = 1",
      values: [id],
      table: "key_uses",
      row: `the uses of version 1 of key ${id}`,
    },
    {
      sql: "update storage.holds set reason = 'a cose' where id = $1",
      back: "update storage.holds set reason = null where id = $1",
      values: [hold!.id],
      table: "holds",
      row: `hold ${hold!.id}`,
    },
    {
      sql: "update storage.keyrings set created_by = created_by || 'x' where name = $1",
      back: "update storage.keyrings set created_by = left(created_by, -1) where name = $1",
      values: [keyring],
      table: "keyrings",
      row: keyring,
    },
    {
      sql: "update storage.keyring_generations set token_object_id = token_object_id || 'x' where keyring = $1",
      back: "update storage.keyring_generations set token_object_id = left(token_object_id, -1) where keyring = $1",
      values: [keyring],
      table: "keyring_generations",
      row: `${keyring}, generation 1`,
    },
  ];
  const inserted = [binding, thief, seal];
  await house.superuser(
    "insert into storage.role_bindings values ($1, 'administrator', $2, '*', $2, now(), $3)",
    inserted,
  );
  await house.superuser(
    "insert into storage.revocations (subject, reason, revoked_at, seal) values ($1, 'x', now(), $2)",
    [`identity:${thief}`, seal],
  );
  for (const { sql, values } of changes) await house.superuser(sql, values);
  try {
    const found = await findings();
    for (const { row, table } of changes) expect(found).toContainEqual({ table, row });
    expect(found).toContainEqual({ table: "role_bindings", row: `administrator for ${thief} on *` });
    expect(found).toContainEqual({ table: "revocations", row: `identity:${thief}` });
    expect(found).toHaveLength(changes.length + 2);
  } finally {
    for (const { back, values } of changes) await house.superuser(back, values);
    await house.superuser("delete from storage.role_bindings where id = $1", [binding]);
    await house.superuser("delete from storage.revocations where subject = $1", [`identity:${thief}`]);
  }
  // A version that is gone, with everything that refers to it, past the references' own rules.
  const tables = ["key_versions", "key_uses", "generation_records", "material_digests"];
  await house.superuser(
    `do $$ begin set local session_replication_role = replica;
     ${tables
       .map(
         (
           table,
         ) => `create table storage.kept_${table} as select * from storage.${table} where key_id = '${id}' and version = 1;
       delete from storage.${table} where key_id = '${id}' and version = 1;`,
       )
       .join("\n")} end $$`,
  );
  try {
    expect(await findings()).toEqual([
      { table: "key_versions", row: `${id}, 1` },
      { table: "key_uses", row: `${id}, 1` },
      { table: "key_versions", row: name },
    ]);
  } finally {
    await house.superuser(
      `do $$ begin ${tables.map((table) => `insert into storage.${table} select * from storage.kept_${table}; drop table storage.kept_${table};`).join("\n")} end $$`,
    );
  }
  expect(await findings()).toEqual([]);
});

test("who may not read the log may not look at the rows", async () => {
  const user = await house.enrol(unique("user"), "user");
  const all = async () => {
    for await (const _ of user.registry.checkRegistry({})) {
      // Nothing comes.
    }
  };
  expect((await refusalOf(all())).kind).toBe("denied");
});
