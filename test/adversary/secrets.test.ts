import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { enrollWithToken } from "@claviger/client";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { freshKey, services } from "./attacker.ts";

const house = useInstallation();
const { audit, cryptography, identities } = house.claviger;

/** Every file of the state directory that can be read, but those that match. */
function files(except: RegExp): string[] {
  const found: string[] = [];
  const visit = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (entry.isFile() && !except.test(relative(house.stateDirectory, path))) found.push(path);
    }
  };
  visit(house.stateDirectory);
  return found;
}

function holds(path: string, secret: Buffer): boolean {
  try {
    return readFileSync(path).includes(secret);
  } catch {
    return false; // Gone meanwhile: a log that was turned over, a file of the database's.
  }
}

/** The forms in which a secret would be written down. */
function formsOf(secret: Buffer): Buffer[] {
  const text = ["hex", "base64", "base64url"] as const;
  return [secret, ...text.map((encoding) => Buffer.from(secret.toString(encoding).replace(/=+$/, "")))];
}

function leaks(secret: Buffer, except: RegExp): string[] {
  const forms = formsOf(secret);
  return files(except)
    .filter((path) => forms.some((form) => holds(path, form)))
    .map((path) => relative(house.stateDirectory, path));
}

async function leaksInDatabase(secret: Buffer): Promise<string[]> {
  const columns = await house.superuser<{ place: string; column: string; type: string }>(
    `select quote_ident(table_schema) || '.' || quote_ident(table_name) as place, quote_ident(column_name) as column,
       data_type as type
     from information_schema.columns
     where table_schema in ('storage', 'distribution', 'rotation', 'audit')
       and data_type in ('text', 'bytea', 'jsonb', 'json')`,
  );
  const found: string[] = [];
  const [, ...texts] = formsOf(secret).map((form) => form.toString("latin1"));
  for (const { column, place, type } of columns) {
    const bytes = type === "bytea" ? column : `convert_to(${column}::text, 'UTF8')`;
    const [row] = await house.superuser<{ count: string }>(
      `select count(*) from ${place} where position($1::bytea in ${bytes}) > 0
         or position($2::bytea in ${bytes}) > 0 or position($3::bytea in ${bytes}) > 0
         or position($4::bytea in ${bytes}) > 0`,
      [secret, ...texts.map((text) => Buffer.from(text))],
    );
    if (Number(row!.count) > 0) found.push(`${place}.${column}`);
  }
  return found;
}

/** Waits until everything that was done is in the log, and so has been through bus, outbox and spool. */
async function settled(resource: string): Promise<void> {
  await until(
    async () => (await audit.searchRecords({ resource, method: "Decrypt" })).records.length > 0,
    15_000,
  );
}

test.each(["software", "hsm"])(
  "a plaintext that was sealed and opened is written nowhere (%s)",
  async (protection) => {
    const name = await freshKey(house, { protection });
    const secret = randomBytes(24);
    const { ciphertext } = await cryptography.encrypt({
      name,
      plaintext: secret,
      associatedData: Buffer.from("x"),
    });
    await cryptography.decrypt({ name, ciphertext, associatedData: Buffer.from("x") });
    await refusalOf(cryptography.decrypt({ name, ciphertext, associatedData: secret }));
    const batch = await cryptography.encryptBatch({ name, items: [{ plaintext: secret }] });
    await cryptography.decryptBatch({ name, items: [{ ciphertext: batch.results[0]!.ciphertext }] });
    await settled(name);
    expect(leaks(secret, /^$/)).toEqual([]);
    expect(await leaksInDatabase(secret)).toEqual([]);
  },
);

test("random bytes, and messages that were signed, are written nowhere", async () => {
  const signing = await freshKey(house, { algorithm: "ecdsa-p256" });
  const { random } = await cryptography.generateRandom({ sizeBytes: 24 });
  const message = randomBytes(24);
  const { signature } = await cryptography.sign({ name: signing, message });
  await cryptography.verify({ name: signing, message, signature });
  for (const secret of [Buffer.from(random), message]) {
    expect(leaks(secret, /^$/)).toEqual([]);
    expect(await leaksInDatabase(secret)).toEqual([]);
  }
});

test("an enrolment token's secret is kept nowhere, used or not", async () => {
  const unused = await identities.createEnrollmentToken({ name: unique("unused") });
  const used = await identities.createEnrollmentToken({ name: unique("used") });
  await enrollWithToken(used.token);
  for (const { token } of [unused, used]) {
    const { s } = JSON.parse(Buffer.from(token.slice(10), "base64url").toString("utf8")) as { s: string };
    for (const secret of [Buffer.from(s), Buffer.from(token)]) {
      expect(leaks(secret, /^$/)).toEqual([]);
      expect(await leaksInDatabase(secret)).toEqual([]);
    }
    expect(await leaksInDatabase(Buffer.from(s, "base64url"))).toEqual([]);
  }
});

test("the token's PINs, seal keys, audit keys and passwords are in their own files and nowhere else", async () => {
  const secrets: [string, RegExp][] = [
    ...services
      .filter((service) => service !== "audit" && service !== "generator" && service !== "rotation")
      .map((service): [string, RegExp] => [
        `${service}/seal.key`,
        new RegExp(`^(${service}/seal\\.key|recovery/)`),
      ]),
    ...services.map((service): [string, RegExp] => [
      `${service}/audit.key`,
      new RegExp(`^(${service}/audit\\.key|audit/keys/${service}\\.key|audit/audit\\.key)$`),
    ]),
    ["generator/hsm.pin", /^generator\/hsm\.pin$/],
    ["postgresql/superuser.password", /^postgresql\/superuser\.password$/],
    ["nats/encryption.conf", /^nats\/encryption\.conf$/],
  ];
  for (const [path, own] of secrets) {
    const content = readFileSync(join(house.stateDirectory, path));
    const secret = path.endsWith("encryption.conf")
      ? Buffer.from(/key: "([^"]+)"/.exec(content.toString("utf8"))![1]!)
      : path.endsWith(".key")
        ? content
        : Buffer.from(content.toString("utf8").trim());
    expect(secret.length, path).toBeGreaterThanOrEqual(8);
    expect(leaks(secret, own), path).toEqual([]);
    expect(await leaksInDatabase(secret), path).toEqual([]);
  }
});

test("no file that holds a secret can be read by anybody but its owner", () => {
  const secret = /(\.key|\.pin|\.password|key\.pem|encryption\.conf|audit-spool\.db.*|\.share|nats\.conf)$/;
  // Everything behind a directory that only its owner enters is closed as well.
  const closed = (path: string): boolean =>
    (statSync(path).mode & 0o077) === 0 || (path !== house.stateDirectory && closed(join(path, "..")));
  const open = files(/^(?!)/).filter((path) => secret.test(path) && !closed(path));
  expect(open.map((path) => relative(house.stateDirectory, path))).toEqual([]);
});

test("no private key, PIN or password stands in a process's command line or environment", () => {
  for (const part of [...services, "nats", "postgresql"] as const) {
    const pid = house.pidOf(part);
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8") + readFileSync(`/proc/${pid}/environ`, "utf8");
    for (const path of ["generator/hsm.pin", "postgresql/superuser.password"]) {
      expect(words).not.toContain(readFileSync(join(house.stateDirectory, path), "utf8").trim());
    }
    expect(words).not.toContain("PRIVATE KEY");
  }
});

test("the bus's store does not show what went over it", async () => {
  const name = await freshKey(house);
  await cryptography.encrypt({ name, plaintext: Buffer.from("x") });
  await until(
    async () => (await audit.searchRecords({ resource: name, method: "Encrypt" })).records.length > 0,
    15_000,
  );
  const store = files(/^(?!nats\/store)/).filter((path) => statSync(path).size > 0);
  expect(store.length).toBeGreaterThan(0);
  expect(store.filter((path) => holds(path, Buffer.from(name)) && !path.endsWith(".inf"))).toEqual([]);
});
