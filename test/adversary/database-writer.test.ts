import { createHash, createHmac, randomBytes, randomUUID, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { enrollWithToken, parseEnrollmentToken } from "@claviger/client";
import { GrantRoleResponseSchema } from "@claviger/proto/storage/v1/access_pb.ts";
import { sealSecret } from "@claviger/sealed-secret";
import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { expectCalmServices, freshKey } from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);
const { access, certificates, cryptography, identities, keyGeneration, keys } = house.claviger;
const plaintext = Buffer.from("the plaintext");

interface KeyRow {
  id: string;
  keyring: string;
}
interface VersionRow {
  material: Buffer;
  seal: Buffer;
  created_at: Date;
  state: string;
  revision: number;
}

async function keyRow(name: string): Promise<KeyRow> {
  const [row] = await house.superuser<KeyRow>(
    "select id, keyring from storage.keys where keyring || '/' || name = $1",
    [name],
  );
  return row!;
}

async function versionRow(keyId: string, version = 1): Promise<VersionRow> {
  const [row] = await house.superuser<VersionRow>(
    "select material, seal, created_at, state, revision from storage.key_versions where key_id = $1 and version = $2",
    [keyId, version],
  );
  return row!;
}

/** Runs `change`, looks, and puts the table's rows back as they were. */
async function whileChanged(
  table: string,
  where: string,
  change: { sql: string; values: unknown[] },
  look: () => Promise<void>,
): Promise<void> {
  const before = await house.superuser(`select * from ${table} where ${where}`);
  expect(before.length, `${table} has such a row`).toBeGreaterThan(0);
  try {
    await house.superuser(change.sql, change.values);
    await look();
  } finally {
    await house.superuser(`delete from ${table} where ${where}`).catch(() => undefined);
    for (const row of before) await restore(table, row);
  }
}

async function restore(table: string, row: Record<string, unknown>): Promise<void> {
  const names = Object.keys(row);
  const values = Object.values(row).map((value) =>
    value !== null && typeof value === "object" && !Buffer.isBuffer(value) && !(value instanceof Date)
      ? JSON.stringify(value)
      : value,
  );
  await house.superuser(
    `insert into ${table} (${names.join(", ")}) values (${names.map((_, at) => `$${at + 1}`).join(", ")})
     on conflict do nothing`,
    values,
  );
}

/** Changes columns of one key's row without touching rows that refer to it, and puts them back. */
async function withKeyChanged(
  name: string,
  column: string,
  value: unknown,
  look: () => Promise<void>,
): Promise<void> {
  const { id } = await keyRow(name);
  const [before] = await house.superuser<{ value: unknown }>(
    `select ${column} as value from storage.keys where id = $1`,
    [id],
  );
  await house.superuser(`update storage.keys set ${column} = $2 where id = $1`, [id, value]);
  try {
    await look();
  } finally {
    await house.superuser(`update storage.keys set ${column} = $2 where id = $1`, [id, before!.value]);
  }
}

test.each([
  ["state", "active"],
  ["algorithm", "ecdsa-p256"],
  ["purpose", "sign-verify"],
  ["protection", "hsm"],
  ["exportable", true],
  ["owner", "spiffe://claviger.test/workload/thief"],
  ["destroy_at", null],
  ["current_version", 2],
  ["rotated_at", new Date(0)],
  ["rotation_period_seconds", 60],
  ["destroy_after_days", 7],
  ["activate_at", new Date(0)],
  ["expire_at", new Date("2999-01-01")],
  ["state_reason", "superseded"],
  ["state_changed_at", new Date(0)],
  ["latest_version", 7],
  ["details", Buffer.alloc(60, 1)],
  ["seal", Buffer.alloc(33, 1)],
])(
  "a key whose %s was changed in the database is refused, and the refusal names the key",
  async (column, value) => {
    const name = await freshKey(house);
    await keyGeneration.createKeyVersion({ name });
    await keyGeneration.createKeyVersion({ name });
    // So that "state" and "destroy_at" have something to be changed from.
    if (column === "state") await keys.changeKeyState({ name, state: "suspended" });
    if (column === "destroy_at") await keys.destroyKey({ name });
    await withKeyChanged(name, column, value, async () => {
      const refusals = await Promise.all([
        refusalOf(cryptography.encrypt({ name, plaintext })),
        refusalOf(keys.getKey({ name })),
        refusalOf(keyGeneration.createKeyVersion({ name })),
      ]);
      for (const refusal of refusals) {
        expect(refusal.kind).toBe("integrity");
        expect(refusal.message).toContain(name);
      }
    });
    expect((await keys.getKey({ name })).key?.name).toBe(name);
  },
);

test("a wrapping key of an import that was changed, or is another import's, opens nothing", async () => {
  const ring = unique("imports");
  await house.claviger.keyrings.createKeyring({ name: ring });
  const name = `${ring}/brought`;
  const method = "claviger.generator.v1.KeyGenerationService/ImportKey";
  const begun = async () => {
    const { importId, wrappingPublicKey } = await keyGeneration.beginImport({ name });
    const secret = SecretBytes.take(randomBytes(32));
    const sealedMaterial = await sealSecret(wrappingPublicKey, { method, name, version: 1 }, secret);
    return { name, algorithm: "aes-256-gcm", importId, sealedMaterial };
  };
  const [one, another, late] = [await begun(), await begun(), await begun()];
  await house.superuser(
    `update storage.import_keys set wrapped = (select wrapped from storage.import_keys where id = $1) where id = $2`,
    [one.importId, another.importId],
  );
  expect((await refusalOf(keyGeneration.importKey(another))).kind).toBe("integrity");
  await house.superuser(
    "update storage.import_keys set wrapped = set_byte(wrapped, 12, get_byte(wrapped, 12) # 1) where id = $1",
    [one.importId],
  );
  expect((await refusalOf(keyGeneration.importKey(one))).kind).toBe("integrity");
  await house.superuser("update storage.import_keys set expires_at = now() where id = $1", [late.importId]);
  expect((await refusalOf(keyGeneration.importKey(late))).kind).toBe("failed-precondition");
  expect((await refusalOf(keys.getKey({ name }))).kind).toBe("not-found");
});

test("a key that was renamed into somebody's own keyring is refused", async () => {
  const name = await freshKey(house);
  const mine = await freshKey(house);
  const [keyring = ""] = mine.split("/");
  const client = await house.enrol(unique("thief"), "user", keyring);
  const { id } = await keyRow(name);
  const original = name.split("/")[0]!;
  await house.superuser("update storage.keys set keyring = $2, name = 'stolen' where id = $1", [id, keyring]);
  try {
    const refusal = await refusalOf(client.cryptography.encrypt({ name: `${keyring}/stolen`, plaintext }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(`${keyring}/stolen`);
  } finally {
    await house.superuser("update storage.keys set keyring = $2, name = 'key' where id = $1", [id, original]);
  }
});

test("the material of two versions does not change places", async () => {
  const name = await freshKey(house);
  await keyGeneration.createKeyVersion({ name });
  const { id } = await keyRow(name);
  const [one, two] = [await versionRow(id, 1), await versionRow(id, 2)];
  const put = (version: number, row: VersionRow) =>
    house.superuser(
      "update storage.key_versions set material = $3, seal = $4 where key_id = $1 and version = $2",
      [id, version, row.material, row.seal],
    );
  await put(1, two);
  await put(2, one);
  const refusal = await refusalOf(cryptography.encrypt({ name, plaintext }));
  expect(refusal.kind).toBe("integrity");
  expect(refusal.message).toContain("version 2");
  await put(1, one);
  await put(2, two);
  expect((await cryptography.encrypt({ name, plaintext })).version).toBe(2);
});

test("a version's state and material are sealed: one that was deactivated does not come back", async () => {
  const name = await freshKey(house);
  await keyGeneration.createKeyVersion({ name });
  const { id } = await keyRow(name);
  const where = `key_id = '${id}' and version = 1`;
  const sql = `update storage.key_versions set state = $1 where ${where}`;
  await whileChanged("storage.key_versions", where, { sql, values: ["active"] }, async () => {
    const refusal = await refusalOf(keys.listKeyVersions({ name }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(`version 1 of key ${id}`);
  });
});

/** Storage's own seal, made by a thief who has its key as well as its database (docs/formats.md). */
function sealAsStorage(
  table: string,
  row: Record<string, string | number | boolean | Buffer | Date | null>,
): Buffer {
  const prefixed = (bytes: Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const hmac = createHmac("sha256", readFileSync(join(house.layout.serviceDirectory("storage"), "seal.key")));
  hmac.update(prefixed(Buffer.from("claviger/row-seal/v1"))).update(prefixed(Buffer.from(table)));
  for (const name of Object.keys(row).sort()) {
    const value = row[name] ?? null;
    hmac.update(prefixed(Buffer.from(name)));
    if (value === null) hmac.update(Buffer.of(0));
    else if (Buffer.isBuffer(value)) hmac.update(Buffer.of(2)).update(prefixed(value));
    else {
      const text = value instanceof Date ? value.toISOString() : String(value);
      hmac.update(Buffer.of(1)).update(prefixed(Buffer.from(text)));
    }
  }
  return Buffer.concat([Buffer.of(1), hmac.digest()]);
}

/** Writes columns of a key's row with the seal that storage itself would have made. */
async function changeKeyAsStorage(
  id: string,
  changes: Record<string, string | boolean | Date | null>,
): Promise<void> {
  const [row] = await house.superuser<Record<string, string>>("select * from storage.keys where id = $1", [
    id,
  ]);
  const { seal: _, ...columns } = { ...row, ...changes };
  const camel = (text: string): string =>
    text.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase());
  // Of columns that were added later, those that say something (docs/formats.md).
  const added = ["activate_at", "expire_at", "state_reason", "state_changed_at", "latest_version", "details"];
  const facts = Object.fromEntries(
    Object.entries(columns)
      .filter(([name, value]) => !added.includes(name) || (value ?? "") !== "")
      .map(([name, value]) => [camel(name), value ?? null]),
  );
  for (const [name, value] of Object.entries({ ...changes, seal: sealAsStorage("keys", facts) })) {
    await house.superuser(`update storage.keys set ${name} = $2 where id = $1`, [id, value]);
  }
}

test.each([
  [
    "another key's material",
    async (own: string, other: string) => (own === "" ? undefined : versionRow(other)),
  ],
  [
    "material with one bit changed",
    async (own: string) => {
      const row = await versionRow(own);
      const material = Buffer.from(row.material);
      material[20] = material[20]! ^ 1;
      return { ...row, material };
    },
  ],
  [
    "material that names another generation",
    async (own: string) => {
      const row = await versionRow(own);
      const material = Buffer.from(row.material);
      material[6] = 2;
      return { ...row, material };
    },
  ],
  [
    "truncated material",
    async (own: string) => ({ ...(await versionRow(own)), material: Buffer.alloc(50, 1) }),
  ],
])(
  "not even storage itself, with its seal key, gives the generator %s: the HSM's binding is checked too",
  async (_, pick) => {
    const name = await freshKey(house);
    const { id } = await keyRow(name);
    const other = (await keyRow(await freshKey(house))).id;
    const own = await versionRow(id);
    const { material } = (await pick(id, other))!;
    const seal = sealAsStorage("key_versions", {
      keyId: id,
      version: 1,
      state: own.state,
      material,
      createdAt: own.created_at,
      revision: own.revision,
    });
    const sql = "update storage.key_versions set material = $2, seal = $3 where key_id = $1";
    await house.superuser(sql, [id, material, seal]);
    // The seal is as storage would make it: storage itself finds nothing wrong.
    expect((await keys.listKeyVersions({ name })).versions).toHaveLength(1);
    const refusal = await refusalOf(cryptography.encrypt({ name, plaintext }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(`${name}@1`);
    await house.superuser(sql, [id, own.material, own.seal]);
    expect((await cryptography.encrypt({ name, plaintext })).version).toBe(1);
  },
);

test("not even storage, with its seal key, makes a key of the HSM one of software, or exportable", async () => {
  const name = await freshKey(house, { protection: "hsm" });
  const { id } = await keyRow(name);
  for (const [column, forged, genuine] of [
    ["protection", "software", "hsm"],
    ["exportable", true, false],
  ] as const) {
    await changeKeyAsStorage(id, { [column]: forged });
    expect((await keys.getKey({ name })).key?.[column], "storage believes its own seal").toBe(forged);
    expect((await refusalOf(cryptography.encrypt({ name, plaintext }))).kind).toBe("integrity");
    await changeKeyAsStorage(id, { [column]: genuine });
  }
  expect((await cryptography.encrypt({ name, plaintext })).version).toBe(1);
});

interface BindingRow {
  id: string;
  role: string;
  identity: string;
  resource: string;
  created_by: string;
  created_at: Date;
  seal: Buffer;
}

const insertBinding = `insert into storage.role_bindings (id, role, identity, resource, created_by, created_at, seal)
  values ($1, $2, $3, $4, $5, $6, $7)`;

test.each(["as it is", "under a new id"])(
  "the administrator's binding, copied to a thief's identity %s, gives no power and names the row",
  async (how) => {
    const name = await freshKey(house);
    const thief = await house.enrol(unique("thief"));
    const [row] = await house.superuser<BindingRow>(
      "select * from storage.role_bindings where role = 'administrator' and resource = '*' limit 1",
    );
    const copy = { ...row!, identity: thief.uri, id: how === "as it is" ? row!.id : randomUUID() };
    if (how === "as it is") {
      // The primary key is the attacker's to drop as well: the copy takes the original's place for a moment.
      await house.superuser("update storage.role_bindings set identity = $2 where id = $1", [
        row!.id,
        thief.uri,
      ]);
    } else {
      await house.superuser(insertBinding, [
        copy.id,
        copy.role,
        copy.identity,
        copy.resource,
        copy.created_by,
        copy.created_at,
        copy.seal,
      ]);
    }
    try {
      const refusal = await refusalOf(thief.cryptography.encrypt({ name, plaintext }));
      expect(refusal.kind).toBe("integrity");
      expect(refusal.message).toContain(`administrator for ${thief.uri} on *`);
    } finally {
      if (how === "as it is") {
        await house.superuser("update storage.role_bindings set identity = $2 where id = $1", [
          row!.id,
          row!.identity,
        ]);
      } else {
        await house.superuser("delete from storage.role_bindings where id = $1", [copy.id]);
      }
    }
  },
);

test.each([
  ["role", "administrator"],
  ["resource", "*"],
  ["created_by", "spiffe://claviger.test/user/somebody-else"],
  ["seal", randomBytes(33)],
])("a binding whose %s was edited gives no power, not even what it gave", async (column, value) => {
  const name = await freshKey(house);
  const thief = await house.enrol(unique("thief"), "user", name);
  await house.superuser(`update storage.role_bindings set ${column} = $2 where identity = $1`, [
    thief.uri,
    value,
  ]);
  const other = await freshKey(house);
  for (const wanted of [name, other]) {
    const refusal = await refusalOf(thief.cryptography.encrypt({ name: wanted, plaintext }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(thief.uri);
  }
  await house.superuser("delete from storage.role_bindings where identity = $1", [thief.uri]);
});

test("a keyring's generation does not point to another keyring's key in the token", async () => {
  const [own, other] = [await freshKey(house), await freshKey(house)];
  const [row] = await house.superuser<{ token: string }>(
    "select token_object_id as token from storage.keyring_generations where keyring = $1",
    [own.split("/")[0]],
  );
  const sql = "update storage.keyring_generations set token_object_id = $2 where keyring = $1";
  await house.superuser(sql, [own.split("/")[0], `${row!.token}x`]);
  try {
    const refusal = await refusalOf(keys.getKeyring({ name: own.split("/")[0]! }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(own.split("/")[0]!);
    await cryptography.encrypt({ name: other, plaintext });
  } finally {
    await house.superuser(sql, [own.split("/")[0], row!.token]);
  }
});

test("a used token that is marked unused is refused, and so is one with another identity or a later end", async () => {
  const name = unique("token");
  const { token } = await identities.createEnrollmentToken({ name });
  await enrollWithToken(token);
  const where = `identity = 'spiffe://${house.trustDomain}/workload/${name}'`;
  const unuse = {
    sql: `update distribution.enrollment_tokens set used_at = null where ${where}`,
    values: [],
  };
  await whileChanged("distribution.enrollment_tokens", where, unuse, async () => {
    const refusal = await refusalOf(enrollWithToken(token));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(name);
  });
  const second = await identities.createEnrollmentToken({ name: `${name}-2` });
  for (const [column, value] of [
    ["identity", `spiffe://${house.trustDomain}/user/administrator`],
    ["identity", `spiffe://${house.trustDomain}/claviger/generator`],
    ["expires_at", new Date(Date.now() + 9e8)],
  ] as const) {
    const { secret } = parseEnrollmentToken(second.token) as unknown as { secret?: string };
    const hash =
      secret === undefined ? secretHashOf(second.token) : createHash("sha256").update(secret).digest();
    const only = `secret_hash = '\\x${hash.toString("hex")}'`;
    const change = {
      sql: `update distribution.enrollment_tokens set ${column} = $1 where ${only}`,
      values: [value],
    };
    await whileChanged("distribution.enrollment_tokens", only, change, async () => {
      expect((await refusalOf(enrollWithToken(second.token))).kind).toBe("integrity");
    });
  }
  expect((await enrollWithToken(second.token)).identity).toContain(`${name}-2`);
});

function secretHashOf(token: string): Buffer {
  const { s } = JSON.parse(Buffer.from(token.slice("claviger1.".length), "base64url").toString("utf8")) as {
    s: string;
  };
  return createHash("sha256").update(s, "utf8").digest();
}

test("a token that the attacker writes himself invites nobody", async () => {
  const real = await identities.createEnrollmentToken({ name: unique("real") });
  const secret = randomBytes(32).toString("base64url");
  const body = JSON.parse(Buffer.from(real.token.slice(10), "base64url").toString("utf8")) as Record<
    string,
    unknown
  >;
  const forged = `claviger1.${Buffer.from(JSON.stringify({ ...body, s: secret })).toString("base64url")}`;
  const hash = createHash("sha256").update(secret).digest();
  await house.superuser(
    `insert into distribution.enrollment_tokens (secret_hash, identity, created_by, request_id, expires_at, seal)
     select $1, $2, created_by, '', expires_at, seal from distribution.enrollment_tokens limit 1`,
    [hash, `spiffe://${house.trustDomain}/claviger/generator`],
  );
  expect((await refusalOf(enrollWithToken(forged))).kind).toBe("integrity");
  await house.superuser("delete from distribution.enrollment_tokens where secret_hash = $1", [hash]);
});

test("a revoked identity that is marked active again is refused its renewal", async () => {
  const client = await house.enrol(unique("undead"));
  await identities.revokeIdentity({ name: client.uri, reason: "keyCompromise" });
  await house.superuser("update distribution.identities set state = 'active' where identity = $1", [
    client.uri,
  ]);
  const refusal = await refusalOf(identities.getIdentity({ name: client.uri }));
  expect(refusal.kind).toBe("integrity");
  expect(refusal.message).toContain(client.uri);
  await house.superuser("update distribution.identities set state = 'revoked' where identity = $1", [
    client.uri,
  ]);
});

test("a certificate that is un-revoked in the database stays refused, and its row is found out", async () => {
  const client = await house.enrol(unique("revoked"), "user");
  const serial = client.identity.serial;
  await certificates.revokeCertificate({ serial, reason: "keyCompromise" });
  const [row] = await house.superuser<{ at: Date; reason: string }>(
    "select revoked_at as at, revocation_reason as reason from distribution.certificates where serial = $1",
    [serial],
  );
  const sql =
    "update distribution.certificates set revoked_at = $2, revocation_reason = $3 where serial = $1";
  await house.superuser(sql, [serial, null, null]);
  try {
    const refusal = await refusalOf(certificates.getCertificate({ serial }));
    expect(refusal.kind).toBe("integrity");
    expect(refusal.message).toContain(serial);
    expect((await refusalOf(client.access.listRoles({}))).kind).toBe("denied");
  } finally {
    await house.superuser(sql, [serial, row!.at, row!.reason]);
  }
});

test("a revocation whose row was edited keeps its subject out", async () => {
  const client = await house.enrol(unique("revoked"), "user");
  await identities.revokeIdentity({ name: client.uri, reason: "keyCompromise" });
  for (const column of ["reason", "revoked_at"] as const) {
    const subject = `identity:${client.uri}`;
    const [row] = await house.superuser<{ value: unknown }>(
      `select ${column} as value from storage.revocations where subject = $1`,
      [subject],
    );
    const sql = `update storage.revocations set ${column} = $2 where subject = $1`;
    await house.superuser(sql, [subject, column === "reason" ? "superseded" : new Date(0)]);
    expect(["integrity", "denied"]).toContain((await refusalOf(client.access.listRoles({}))).kind);
    await house.superuser(sql, [subject, row!.value]);
  }
});

test("a CA certificate that was replaced in the database is not served nor issued under", async () => {
  const [row] = await house.superuser<{ certificate: Buffer }>(
    "select certificate from distribution.authorities where name = 'issuing'",
  );
  const changed = Buffer.from(row!.certificate);
  changed[changed.length - 1] = changed.at(-1)! ^ 1;
  const sql = "update distribution.authorities set certificate = $1 where name = 'issuing'";
  await house.superuser(sql, [changed]);
  try {
    const served = await fetch(`http://127.0.0.1:${house.ports.publicHttp}/v1/ca/issuing.cer`);
    expect(Buffer.from(await served.arrayBuffer()).equals(row!.certificate)).toBe(true);
    const { token } = await identities.createEnrollmentToken({ name: unique("issued") });
    const { certificateChain } = await enrollWithToken(token);
    const [, issuer = ""] = certificateChain.split(/(?<=END CERTIFICATE-----\n)/);
    expect(new X509Certificate(issuer).raw.equals(row!.certificate)).toBe(true);
  } finally {
    await house.superuser(sql, [row!.certificate]);
  }
});

test("a certificate whose facts were edited is found out when it is looked at", async () => {
  const client = await house.enrol(unique("edited"));
  const { serial } = client.identity;
  for (const [column, value] of [
    ["identity", `spiffe://${house.trustDomain}/user/administrator`],
    ["profile", "service"],
    ["names", '["uri:spiffe://x/user/y"]'],
    ["not_after", new Date(Date.now() + 9e9)],
    ["certificate", randomBytes(64)],
    ["public_key_sha256", randomBytes(32)],
  ] as const) {
    const where = `serial = '${serial}'`;
    const change = {
      sql: `update distribution.certificates set ${column} = $1 where ${where}`,
      values: [value],
    };
    await whileChanged("distribution.certificates", where, change, async () => {
      expect((await refusalOf(certificates.getCertificate({ serial }))).kind, column).toBe("integrity");
    });
  }
});

test("an answer kept for a repeated request_id cannot be made to say something else", async () => {
  const requestId = randomUUID();
  const { uri } = await house.enrol(unique("granted"));
  const grant = { requestId, role: "user", identity: uri, resource: unique("ring") };
  const { binding } = await access.grantRole(grant);
  const forged = create(GrantRoleResponseSchema, {
    binding: { ...binding!, role: "administrator", resource: "*" },
  });
  await house.superuser("update storage.requests set response = $2 where request_id = $1", [
    requestId,
    Buffer.from(toBinary(GrantRoleResponseSchema, forged)),
  ]);
  const answer = await access.grantRole(grant).then(
    (repeated) => repeated.binding?.role ?? "",
    (error: { kind: string }) => error.kind,
  );
  expect(["integrity", "user"]).toContain(answer);
});

test("a forged schedule makes rotation ask, and storage refuse: nothing is rotated before its day", async () => {
  const name = await freshKey(house, { rotationPeriodSeconds: 86_400n });
  const { id } = await keyRow(name);
  await house.superuser(
    `insert into rotation.schedules (key_name, key_id, current_version, rotation_period_seconds, last_rotated_at,
       next_rotation_at) values ($1, $2, 1, 60, now(), now() - interval '1 day')
     on conflict (key_name) do update set next_rotation_at = now() - interval '1 day', claimed_until = null`,
    [name, id],
  );
  await new Promise((resolve) => setTimeout(resolve, 4000));
  expect((await keys.getKey({ name })).key?.currentVersion).toBe(1);
});

test("one row that was tampered with keeps no other key from being used, nor from being destroyed on its day", async () => {
  const [broken, whole, ending] = [await freshKey(house), await freshKey(house), await freshKey(house)];
  await keys.destroyKey({ name: ending });
  await withKeyChanged(broken, "destroy_at", new Date(0), async () => {
    await cryptography.encrypt({ name: whole, plaintext });
    // Its week is over: the day is moved as storage itself would have written it.
    await changeKeyAsStorage((await keyRow(ending)).id, { destroy_at: new Date(Date.now() - 1000) });
    await until(async () => (await keys.getKey({ name: ending })).key?.state === "destroyed", 15_000);
    expect((await refusalOf(keys.getKey({ name: broken }))).kind).toBe("integrity");
  });
});
