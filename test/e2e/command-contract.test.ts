import { mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";

const house = useInstallation();
const { cli } = house;
const scratch = mkdtempSync(join(house.workDirectory, "contract-"));
const at = (name: string): string => join(scratch, name);
const keyring = unique("contract");
const cipher = `${keyring}/data`;
const signer = `${keyring}/signer`;
const isoTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;

async function succeed(...line: string[]) {
  const result = await cli([...line, "--json"]);
  expect(result.stderr, line.join(" ")).toBe("");
  expect(result.code, line.join(" ")).toBe(0);
  return result.json();
}

beforeAll(async () => {
  await succeed("keyrings", "create", keyring);
  await succeed("keys", "create", cipher, "--algorithm", "aes-256-gcm", "--destroy-after", "7d");
  await succeed("keys", "create", signer, "--algorithm", "ecdsa-p256", "--protection", "hsm");
});

describe("the answers with --json", () => {
  test("of keyrings and keys have names, states and times as text", async () => {
    expect(await succeed("keyrings", "show", keyring)).toMatchObject({
      name: keyring,
      createdAt: expect.stringMatching(isoTime),
      generations: [{ generation: 1 }],
    });
    expect((await succeed("keyrings", "list")).keyrings).toContainEqual(
      expect.objectContaining({ name: keyring }),
    );
    const shown = {
      name: cipher,
      algorithm: "aes-256-gcm",
      protection: "software",
      purpose: "encrypt-decrypt",
      state: "active",
      currentVersion: 1,
      destroyAfterDays: 7,
    };
    expect(await succeed("keys", "show", cipher)).toMatchObject(shown);
    const { keys } = await succeed("keys", "list", keyring);
    expect(keys.map(({ name }: { name: string }) => name)).toEqual([cipher, signer]);
    expect(await succeed("keys", "versions", cipher)).toMatchObject({
      versions: [{ version: 1, state: "active", current: true, createdAt: expect.stringMatching(isoTime) }],
    });
  });

  test("of roles, grants and explanations name the row that decides", async () => {
    const identity = `spiffe://${house.trustDomain}/workload/${unique("contract")}`;
    const roles = (await succeed("access", "roles")).roles.map(({ name }: { name: string }) => name);
    expect(roles.sort()).toEqual(["administrator", "auditor", "user"]);
    const binding = { role: "user", identity, resource: keyring };
    expect(await succeed("access", "grant", "user", "--to", identity, "--on", keyring)).toMatchObject(
      binding,
    );
    expect((await succeed("access", "bindings", "--who", identity)).bindings).toMatchObject([binding]);
    const ask = ["access", "explain", "--who", identity, "--on", cipher, "--may"];
    expect(await succeed(...ask, "keys.decrypt")).toMatchObject({ allowed: true, binding });
    const no = await cli([...ask, "keys.destroy", "--json"]);
    expect(no.json()).toMatchObject({ allowed: false });
    await succeed("access", "revoke", "user", "--to", identity, "--on", keyring);
    expect((await succeed("access", "bindings", "--who", identity)).bindings).toEqual([]);
  });

  test("of rotation say what will happen, and of the log what has", async () => {
    expect(await succeed("rotation", "set", cipher, "--every", "90d")).toMatchObject({
      name: cipher,
      rotationPeriodSeconds: 7_776_000,
    });
    expect(await succeed("rotation", "plan", cipher)).toMatchObject({ name: cipher, nextVersion: 2 });
    expect(await succeed("rotation", "status")).toHaveProperty("rollouts");
    const { records } = await succeed("audit", "search", "--limit", "5");
    expect(records.length).toBe(5);
    expect(await succeed("audit", "checkpoint")).toMatchObject({
      origin: `${house.trustDomain}/audit`,
      verifierKey: expect.stringContaining("+"),
    });
    expect(await succeed("audit", "verify")).toMatchObject({ valid: true });
  });
});

describe("the exit code", () => {
  const refused = async (code: number, kind: string, ...line: string[]) => {
    const result = await cli([...line, "--json"], { input: "x" });
    expect(result.code, line.join(" ")).toBe(code);
    expect(result.stdout, line.join(" ")).toBe("");
    const { error } = JSON.parse(result.stderr) as { error: Record<string, string> };
    expect(error, line.join(" ")).toMatchObject({ kind });
    expect(error.message, line.join(" ")).toMatch(/^\S/);
    expect(result.stderr, line.join(" ")).not.toMatch(/\n\s+at /);
  };

  test("is 2 for bad usage and bad input", async () => {
    await Promise.all([
      refused(2, "invalid-argument", "keys", "create", `${keyring}/bad`, "--algorithm", "3des"),
      refused(2, "invalid-argument", "keys", "create", cipher),
      refused(2, "invalid-argument", "keys", "destroy", `${cipher}@1`),
      refused(2, "invalid-argument", "encrypt", cipher, "--in", at("not-there"), "--out", "-"),
      refused(2, "invalid-argument", "random", "0"),
      refused(2, "invalid-argument", "access", "grant", "emperor", "--to", "x", "--on", keyring),
    ]);
  });

  test("is 3 for what is not there", async () => {
    await Promise.all([
      refused(3, "not-found", "keyrings", "show", unique("nowhere")),
      refused(3, "not-found", "keys", "rotate", `${keyring}/nowhere`),
      refused(3, "not-found", "certs", "show", "0123456789abcdef"),
      refused(3, "not-found", "identities", "show", unique("nobody")),
    ]);
  });

  test("is 4 for whoever may not, without saying whether it exists", async () => {
    const { configPath: config } = await house.enrol(unique("outsider"));
    const messages = [];
    for (const name of [cipher, `${keyring}/nowhere`]) {
      const result = await cli(["encrypt", name, "--in", "-", "--out", "-", "--json"], {
        config,
        input: "x",
      });
      expect(result.code).toBe(4);
      const { error } = JSON.parse(result.stderr) as { error: { kind: string; message: string } };
      expect(error.kind).toBe("denied");
      messages.push(error.message.replaceAll(name, "NAME"));
    }
    expect(messages[0]).toBe(messages[1]);
  });

  test("is 5 for what the state, a signature, a tag or a repetition forbids", async () => {
    await refused(5, "already-exists", "keyrings", "create", keyring);
    await refused(5, "already-exists", "keys", "create", cipher, "--algorithm", "aes-256-gcm");
    await refused(5, "failed-precondition", "keys", "restore", cipher);
    await refused(5, "failed-precondition", "sign", cipher, "--in", "-", "--out", "-");
    await refused(5, "integrity", "decrypt", cipher, "--in", "-", "--out", "-");
    writeFileSync(at("message"), "a contract");
    await succeed("sign", signer, "--in", at("message"), "--out", at("signature"));
    expect(
      await succeed("verify", signer, "--in", at("message"), "--signature", at("signature")),
    ).toMatchObject({ valid: true, version: 1 });
    writeFileSync(at("message"), "another contract");
    const result = await cli(["verify", signer, "--in", at("message"), "--signature", at("signature")]);
    expect(result.code).toBe(5);
  });

  test("is 6 where nothing answers, with what to do about it", async () => {
    const config = at("nowhere.json");
    const known = JSON.parse(readFileSync(house.configPath, "utf8")) as Record<string, object>;
    const addresses = Object.fromEntries(Object.keys(known.addresses!).map((name) => [name, "127.0.0.1:9"]));
    const identity = house.layout.administratorDirectory;
    writeFileSync(config, JSON.stringify({ ...known, addresses, identity }));
    const result = await cli(["keyrings", "list"], { config });
    expect(result.code).toBe(6);
    expect(result.stderr).toMatch(/^error: .+\nhint: .+\n$/);
    const status = await cli(["status", "--json"], { config });
    expect(status.code).toBe(6);
    expect(status.json().services.length).toBe(5);
  });
});

test("bytes go through stdin and stdout unchanged, and associated data binds them", async () => {
  const input = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 256));
  const sealed = await cli(["encrypt", cipher, "--in", "-", "--out", "-", "--aad", "row 7"], { input });
  expect(sealed.code).toBe(0);
  const bound = ["decrypt", cipher, "--in", "-", "--out", "-", "--aad"];
  expect((await cli([...bound, "row 7"], { input: sealed.output })).output.equals(input)).toBe(true);
  const other = await cli([...bound, "row 8"], { input: sealed.output });
  expect(other).toMatchObject({ code: 5, stdout: "" });
});

test("what is decrypted into a file can be read by its owner alone", async () => {
  const { output } = await cli(["encrypt", cipher, "--in", "-", "--out", "-"], {
    input: "for one pair of eyes",
  });
  const opened = await cli(["decrypt", cipher, "--in", "-", "--out", at("opened")], { input: output });
  expect(opened.code).toBe(0);
  expect(readFileSync(at("opened"), "utf8")).toBe("for one pair of eyes");
  expect(statSync(at("opened")).mode & 0o077).toBe(0);
});

test("a token goes from one command into another by a file, and its new identity works", async () => {
  const name = unique("joins");
  await succeed("identities", "enroll", name, "--out", at("token"));
  expect(statSync(at("token")).mode & 0o077).toBe(0);
  const join = ["identities", "join", "--token-file", at("token"), "--addresses-from", house.configPath];
  await succeed(...join, "--out", at("joined"));
  await succeed("access", "grant", "user", "--to", name, "--on", keyring);
  const config = at("joined/claviger.json");
  const sealed = await cli(["encrypt", cipher, "--in", "-", "--out", "-"], { config, input: "x" });
  expect(sealed.code).toBe(0);
  const again = await cli([...join, "--out", at("joined-again"), "--json"]);
  expect(again.code).toBe(4);
});

test("help shows examples for each group, quickly and without a configuration", async () => {
  for (const group of ["", "keys", "keys create", "certs issue", "audit verify"]) {
    const result = await cli([...group.split(" ").filter(Boolean), "--help"], { config: at("none.json") });
    expect(result.code, group).toBe(0);
    expect(result.stdout, group).toContain("claviger");
    expect(result.stderr, group).toBe("");
  }
  const leaf = await cli(["keys", "create", "--help"]);
  expect(leaf.stdout).toContain("keys create payments/cards --algorithm aes-256-gcm");
});
