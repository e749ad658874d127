import { randomUUID } from "node:crypto";
import { createGroup, deliverKey, enrollWithToken, joinGroup, registerRecipient } from "@claviger/client";
import { beforeAll, describe, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { freshKey } from "./attacker.ts";

// The attacker writes distribution's and rotation's schemas as PostgreSQL's superuser.
const house = useInstallation();
const { claviger } = house;
const { certificates, distributionRows, identities, keyGeneration, rotation, rotationRows } = claviger;

type Schema = "distribution" | "rotation";
type Row = Record<string, unknown>;

/** Rows that carry no seal, and why that gives nobody anything. */
const unsealed: Record<Schema, Record<string, string>> = {
  distribution: {
    requests: "sealed by itself: an answer that was changed is not repeated",
    outbox: "an event carries no authority, and an audit record has a MAC of its own",
    outbox_relay: "one row to be locked",
    schema_migrations: "read by the launcher alone, under another role",
    revocation_lists: "signed by the CA",
    trust_synchronization: "advice, not authority",
    authority_changes: "the CAs' history, for people",
    bundle_followers: "advice, not authority",
    certificate_successions: "it says which certificates are used no more, and gives none any power",
    key_group_generations: "the generator's MAC binds them",
    key_group_nodes: "verified against the root in the generator's record",
  },
  rotation: {
    outbox: "an event carries no authority, and an audit record has a MAC of its own",
    outbox_relay: "one row to be locked",
    schema_migrations: "read by the launcher alone, under another role",
  },
};

/** Sealed, and checked at each read; not in the scan and the ledger yet, so that an older one put back is not found. */
const readOnly = [
  "authority_chains",
  "authority_rotations",
  "authority_states",
  "cross_certificates",
  "name_rules",
  "profiles",
  "revoked_keys",
  "token_issuers",
  "token_rules",
];

let client: EnrolledClient;
let name: string;

async function findings(schema: Schema): Promise<{ table: string; row: string; what: string }[]> {
  const rows = schema === "distribution" ? distributionRows : rotationRows;
  const found = [];
  for await (const answer of rows.checkRows({})) found.push(...answer.findings);
  return found
    .map(({ row, table, what }) => ({ table, row, what }))
    .filter((finding) => !leftByOthers.has(JSON.stringify(finding)));
}

/** What other attackers' tests have not put back. */
const leftByOthers = new Set<string>();

async function columnsOf(schema: Schema): Promise<{ table: string; column: string; type: string }[]> {
  return house.superuser(
    `SELECT table_name AS table, column_name AS column, data_type AS type FROM information_schema.columns
     WHERE table_schema = $1 ORDER BY 1, ordinal_position`,
    [schema],
  );
}

async function primaryKeyOf(table: string): Promise<string[]> {
  const rows = await house.superuser<{ column: string }>(
    `SELECT a.attname AS column FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
     WHERE i.indrelid = $1::regclass AND i.indisprimary`,
    [table],
  );
  return rows.map(({ column }) => column);
}

/** The first row of a table, and what writes it back whatever became of it. */
async function oneRow(table: string, where = "true", values: unknown[] = []) {
  const [row] = await house.superuser<Row>(`SELECT * FROM ${table} WHERE ${where} LIMIT 1`, values);
  expect(row, `${table} has a row`).toBeDefined();
  const names = Object.keys(row!);
  const stored = names.map((column) => (column === "names" ? JSON.stringify(row![column]) : row![column]));
  const key = await primaryKeyOf(table);
  const at = key.map((column, index) => `${column} = $${index + 1}`).join(" AND ");
  const place = key.map((column) => row![column]);
  return {
    row: row!,
    at,
    place,
    async putBack(changedPlace: unknown[] = place) {
      await house.superuser(`DELETE FROM ${table} WHERE ${at}`, changedPlace);
      await house.superuser(`DELETE FROM ${table} WHERE ${at}`, place);
      await house.superuser(
        `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map((_, index) => `$${index + 1}`).join(", ")})`,
        stored,
      );
    },
  };
}

const states = { invited: "active", active: "invited", revoked: "active" } as const;

function another(type: string, column: string, value: unknown): unknown {
  if (column === "state") return states[value as keyof typeof states];
  if (column === "format") return value === "jwe" ? "hpke" : "jwe";
  if (value instanceof Uint8Array) {
    const changed = Buffer.from(value);
    if (changed.length === 0) return Buffer.of(1);
    changed[changed.length - 1]! ^= 1;
    return changed;
  }
  if (type.startsWith("timestamp")) return new Date(((value as Date | null)?.getTime() ?? 0) + 3_600_000);
  if (type === "uuid") return randomUUID();
  if (type === "jsonb") return JSON.stringify(["dns:elsewhere.example"]);
  if (type === "integer") return (value as number) + 1;
  if (type === "bigint") return String(BigInt(value as string) + 1n);
  return `${(value as string | null) ?? ""}x`;
}

beforeAll(async () => {
  const left = [...(await findings("distribution")), ...(await findings("rotation"))];
  for (const finding of left) leftByOthers.add(JSON.stringify(finding));
  client = await house.enrol(unique("sealed"), "user");
  name = await freshKey(house, { rotationPeriodSeconds: 86_400n });
  await client.subscriptions.subscribe({ name });
  await keyGeneration.createKeyVersion({ name });
  await until(async () => (await rotation.getRotationStatus({ name })).rollouts.length > 0, 20_000);
  await client.subscriptions.acknowledgeRotation({ name, version: 2 });
  // Keys on their way to others, and groups that share one.
  const partner = await house.enrol(unique("partner"), "user");
  for (const identity of [client, partner]) await registerRecipient(identity);
  await claviger.sessions.allowSessions({ initiator: client.uri, peer: partner.uri });
  await claviger.sessions.allowSessions({ initiator: partner.uri, peer: client.uri });
  await claviger.sessions.forbidSessions({ initiator: partner.uri, peer: client.uri });
  const shared = await house.cli([
    "psk",
    "create",
    unique("vpn"),
    "--parties",
    `${client.uri},${partner.uri}`,
  ]);
  expect(shared.code, shared.stderr).toBe(0);
  const sent = `${name.split("/")[0]!}/sent`;
  await keyGeneration.createKey({ name: sent, algorithm: "aes-256-gcm", exportable: true });
  await deliverKey(claviger, { name: sent, recipients: [partner.uri] });
  const group = unique("sensors");
  await createGroup(claviger, group);
  await joinGroup(claviger, group, [client.uri, partner.uri]);
  // References would keep rows from being taken away for a moment.
  await house.superuser("SET session_replication_role = replica");
  // Something that Claviger itself took away, in each of the two.
  const other = await freshKey(house);
  await client.subscriptions.subscribe({ name: other });
  await client.subscriptions.unsubscribe({ name: other });
  const leaver = unique("leaver");
  await identities.createEnrollmentToken({ name: leaver });
  await identities.revokeIdentity({ name: leaver });
});

describe.each(["distribution", "rotation"] as const)("the schema %s", (schema) => {
  test("has no table whose rows are neither sealed nor said to need no seal", async () => {
    const columns = await columnsOf(schema);
    const tables = new Set(columns.map(({ table }) => table));
    const sealed = new Set(
      columns
        .filter(({ column, table }) => column === "seal" && unsealed[schema][table] === undefined)
        .map(({ table }) => table),
    );
    expect([...sealed, ...Object.keys(unsealed[schema])].sort()).toEqual([...tables].sort());
  });

  test("has no column of a sealed row that can be edited unnoticed", { timeout: 120_000 }, async () => {
    expect(await findings(schema)).toEqual([]);
    for (const { column, table, type } of await columnsOf(schema)) {
      if (unsealed[schema][table] !== undefined || readOnly.includes(table)) continue;
      const full = `${schema}.${table}`;
      const { at, place, putBack, row } = await oneRow(full);
      const key = await primaryKeyOf(full);
      const value = another(type, column, row[column]);
      const cast = type === "jsonb" ? "::jsonb" : "";
      const number = place.length + 1;
      await house.superuser(`UPDATE ${full} SET ${column} = $${number}${cast} WHERE ${at}`, [
        ...place,
        value,
      ]);
      const changedPlace = place.map((part, index) => (key[index] === column ? value : part));
      try {
        const found = await findings(schema);
        expect(
          found.some((finding) => finding.table === table),
          `${full}.${column}`,
        ).toBe(true);
      } finally {
        await putBack(changedPlace);
      }
    }
    expect(await findings(schema)).toEqual([]);
  });

  test("misses a row that somebody took away, and names it", async () => {
    const tables =
      schema === "distribution"
        ? ["certificates", "identities"]
        : ["subscriptions", "acknowledgements", "rollouts"];
    for (const table of tables) {
      const { at, place, putBack } = await oneRow(`${schema}.${table}`);
      await house.superuser(`DELETE FROM ${schema}.${table} WHERE ${at}`, place);
      try {
        expect(await findings(schema), table).toContainEqual(
          expect.objectContaining({
            table,
            what: expect.stringContaining("is gone, and Claviger did not take it away"),
          }),
        );
      } finally {
        await putBack();
      }
    }
    expect(await findings(schema)).toEqual([]);
  });
});

test("an edited row is refused where it is used", async () => {
  const { serial } = client.identity;
  for (const [table, where, values, column, value, use] of [
    [
      "distribution.identities",
      "identity = $1",
      [client.uri],
      "state",
      "revoked",
      () => identities.getIdentity({ name: client.uri }),
    ],
    [
      "distribution.certificates",
      "serial = $1",
      [serial],
      "profile",
      "service",
      () => certificates.getCertificate({ serial }),
    ],
    [
      "rotation.schedules",
      "key_name = $1",
      [name],
      "next_rotation_at",
      new Date(0),
      () => rotation.listRotationPolicies({}),
    ],
    [
      "rotation.rollouts",
      "key_name = $1",
      [name],
      "rotated_at",
      new Date(0),
      () => rotation.getRotationStatus({ name }),
    ],
    [
      "rotation.acknowledgements",
      "key_name = $1",
      [name],
      "acknowledged_at",
      new Date(0),
      () => rotation.getRotationStatus({ name }),
    ],
    [
      "rotation.subscriptions",
      "key_name = $1",
      [name],
      "created_at",
      new Date(0),
      () => client.subscriptions.listSubscribers({ name }),
    ],
  ] as const) {
    const { at, place, putBack } = await oneRow(table, where, [...values]);
    await house.superuser(`UPDATE ${table} SET ${column} = $${place.length + 1} WHERE ${at}`, [
      ...place,
      value,
    ]);
    try {
      expect((await refusalOf(use() as Promise<unknown>)).kind, `${table}.${column}`).toBe("integrity");
    } finally {
      await putBack();
    }
  }
});

test("genuine rows of earlier, put back, are refused where they are used, and named by the doctor", async () => {
  const leaver = await house.enrol(unique("former"), "user");
  const { serial } = leaver.identity;
  const { token } = await identities.createEnrollmentToken({ name: leaver.uri });
  const before = [
    await oneRow("distribution.identities", "identity = $1", [leaver.uri]),
    await oneRow("distribution.certificates", "serial = $1", [serial]),
    await oneRow("distribution.enrollment_tokens", "identity = $1 AND used_at IS NULL", [leaver.uri]),
    await oneRow("rotation.subscriptions", "key_name = $1", [name]),
  ];
  await identities.revokeIdentity({ name: leaver.uri, reason: "keyCompromise" });
  await client.subscriptions.unsubscribe({ name });
  const after = [
    await oneRow("distribution.identities", "identity = $1", [leaver.uri]),
    await oneRow("distribution.certificates", "serial = $1", [serial]),
  ];
  for (const { putBack } of before) await putBack();
  try {
    const old = await refusalOf(identities.getIdentity({ name: leaver.uri }));
    expect(old).toMatchObject({ kind: "integrity", message: expect.stringContaining("older one put back") });
    expect((await refusalOf(certificates.getCertificate({ serial }))).kind).toBe("integrity");
    // The token that was void, and is there again with its own seal.
    await expect(enrollWithToken(token)).rejects.toMatchObject({ kind: "integrity" });
    const { code, json } = await house.cli(["--json", "doctor"]);
    expect(code).toBe(5);
    const found: { table: string; row: string; what: string }[] = json().findings;
    for (const [table, what] of [
      ["identities", "older one put back"],
      ["certificates", "older one put back"],
      ["enrollment_tokens", "was taken away"],
      ["subscriptions", "was taken away"],
    ] as const) {
      expect(found, table).toContainEqual(
        expect.objectContaining({ table, what: expect.stringContaining(what) }),
      );
    }
  } finally {
    for (const { putBack } of after) await putBack();
    await house.superuser(
      "DELETE FROM distribution.enrollment_tokens WHERE identity = $1 AND used_at IS NULL",
      [leaver.uri],
    );
    await house.superuser("DELETE FROM rotation.subscriptions WHERE key_name = $1", [name]);
  }
  expect([...(await findings("distribution")), ...(await findings("rotation"))]).toEqual([]);
});

test("a schedule that was edited makes nobody rotate, and keeps no other from it", async () => {
  const [edited, other] = [
    await freshKey(house, { rotationPeriodSeconds: 86_400n }),
    await freshKey(house, { rotationPeriodSeconds: 86_400n }),
  ];
  for (const one of [edited, other]) {
    await until(
      async () => (await rotation.planRotation({ name: one })).nextRotationAt !== undefined,
      15_000,
    );
  }
  const { at, place, putBack } = await oneRow("rotation.schedules", "key_name = $1", [edited]);
  await house.superuser(
    `UPDATE rotation.schedules SET next_rotation_at = now() - interval '1 day' WHERE ${at}`,
    place,
  );
  try {
    expect((await refusalOf(rotation.planRotation({ name: edited }))).kind).toBe("integrity");
    // Storage says that it is due: its schedule comes from there anew.
    await keyGeneration.createKeyVersion({ name: other });
    await until(
      async () => (await rotation.getRotationStatus({ name: other })).rollouts.length === 1,
      15_000,
    );
    expect((await claviger.keys.getKey({ name: edited })).key?.currentVersion).toBe(1);
  } finally {
    await putBack();
  }
});
