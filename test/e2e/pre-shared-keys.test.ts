import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { registerRecipient } from "@claviger/client";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const at = (name: string): string => join(house.workDirectory, unique(name));
let siteA: EnrolledClient;
let siteB: EnrolledClient;
let stranger: EnrolledClient;

beforeAll(async () => {
  [siteA, siteB, stranger] = (await Promise.all(
    ["site-a", "site-b", "site-c"].map((name) => house.enrol(unique(name))),
  )) as [EnrolledClient, EnrolledClient, EnrolledClient];
  for (const identity of [siteA, siteB, stranger]) await registerRecipient(identity);
});

async function succeed(line: readonly string[], as?: EnrolledClient) {
  const result = await house.cli([...line, "--json"], as === undefined ? {} : { config: as.configPath });
  expect(result.code, result.stderr).toBe(0);
  return result.json();
}

async function made(...more: string[]): Promise<string> {
  const name = unique("vpn");
  await succeed(["psk", "create", name, "--parties", `${siteA.uri},${siteB.uri}`, ...more]);
  return name;
}

async function fetched(name: string, as: EnrolledClient, ...more: string[]): Promise<Buffer> {
  const out = at("psk");
  await succeed(["psk", "fetch", name, "--out", out, ...more], as);
  expect(statSync(out).mode & 0o777).toBe(0o600);
  return readFileSync(out);
}

test("both parties get the same key again and again, until each says that it is kept; nobody else gets it", async () => {
  const name = await made();
  const first = await fetched(name, siteA, "--no-acknowledge");
  expect(first).toHaveLength(32);
  expect(await fetched(name, siteA, "--peer", siteB.uri)).toEqual(first);
  expect(await fetched(name, siteB)).toEqual(first);
  for (const party of [siteA, siteB]) {
    const again = await house.cli(["psk", "fetch", name, "--out", at("psk")], { config: party.configPath });
    expect([again.code, again.stderr]).toEqual([5, expect.stringContaining("never delivered again")]);
  }
  for (const config of [stranger.configPath, house.configPath]) {
    expect((await house.cli(["psk", "fetch", name, "--out", at("psk")], { config })).code).toBe(4);
  }
  // Nothing that could be opened later is kept.
  const [row] = await house.superuser(
    "select * from distribution.pre_shared_key_generations where name = $1",
    [name],
  );
  expect(row).toMatchObject({ ticket_a: null, ticket_b: null });
});

test("generations overlap: the old one goes on until both have the new one, and for the overlap", async () => {
  const name = await made("--overlap", "2s");
  for (const party of [siteA, siteB]) await fetched(name, party);
  await succeed(["psk", "rotate", name]);
  const states = async (): Promise<string[]> =>
    (await succeed(["psk", "show", name])).generations.map(({ state }: { state: string }) => state);
  expect(await states()).toEqual(["current", "waiting"]);
  const next = await fetched(name, siteA);
  expect(await states()).toEqual(["current", "waiting"]);
  expect(await fetched(name, siteB)).toEqual(next);
  const { value } = await until(async () => {
    const now = await house.claviger.preSharedKeys.getPreSharedKey({ name });
    return now.key?.generations[0]?.state === "retired" && now.key.generations[1]?.state === "current";
  }, 10_000);
  expect(value).toBe(true);
});

test("a key is for exactly two parties that have recipient keys, made by administrators, and never for others", async () => {
  const parties = `${siteA.uri},${siteB.uri}`;
  const line = ["psk", "create", unique("vpn"), "--parties"];
  expect((await house.cli([...line, siteA.uri])).code).toBe(2);
  expect((await house.cli([...line, `${parties},${stranger.uri}`])).code).toBe(2);
  expect((await house.cli([...line, `${siteA.uri},${siteA.uri}`])).code).toBe(2);
  expect((await house.cli([...line, parties], { config: siteA.configPath })).code).toBe(4);
  const unknown = await house.cli([...line, `${siteA.uri},${unique("unregistered")}`]);
  expect([unknown.code, unknown.stderr]).toEqual([5, expect.stringContaining("recipients register")]);
  const name = await made();
  expect((await house.cli(["psk", "create", name, "--parties", parties])).code).toBe(5);
  const wrongPeer = ["psk", "fetch", name, "--out", at("psk"), "--peer", stranger.uri];
  expect((await house.cli(wrongPeer, { config: siteA.configPath })).code).toBe(5);
});

test("the answers are ready to paste for strongSwan and WireGuard, and hold the same key", async () => {
  const name = await made();
  const raw = await fetched(name, siteA, "--no-acknowledge");
  const swan = (await fetched(name, siteA, "--no-acknowledge", "--format", "ikev2")).toString();
  expect(swan).toContain(`secret = 0x${raw.toString("hex")}\n`);
  expect(swan).toContain(`id-2 = "${siteB.uri}"`);
  const wireguard = (await fetched(name, siteA, "--no-acknowledge", "--format", "wireguard")).toString();
  expect(wireguard).toContain(`PresharedKey = ${raw.toString("base64")}\n`);
  expect((await refusalOf(house.claviger.preSharedKeys.fetchPreSharedKey({ name }))).kind).toBe("denied");
});

const openssl = findOpenssl();

test.skipIf(openssl === undefined)(
  "openssl s_server and s_client talk with a key of Claviger's",
  async () => {
    const name = await made();
    const [ours, theirs] = [
      await fetched(name, siteA, "--format", "openssl"),
      await fetched(name, siteB, "--format", "openssl"),
    ];
    expect(ours).toEqual(theirs);
    const options = ours.toString().trim().split(" ");
    const server = spawn(openssl!, [
      "s_server",
      "-accept",
      "127.0.0.1:0",
      "-nocert",
      "-tls1_3",
      "-naccept",
      "1",
      ...options,
    ]);
    try {
      let said = "";
      server.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      const { value: port } = await until(() => /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said)?.[1], 10_000);
      const client = spawn(openssl!, ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_3", ...options]);
      let heard = "";
      client.stdout.on("data", (chunk: Buffer) => {
        heard += chunk.toString();
      });
      await until(() => /Cipher is TLS_/.test(heard), 10_000);
      client.stdin.write("told under the key\n");
      await until(() => said.includes("told under the key"), 10_000);
      client.stdin.end();
      client.kill();
      // Authenticated by the key alone: there is no certificate.
      expect(heard).toContain("no peer certificate available");
      expect(heard).toContain("Reused, TLSv1.3");
    } finally {
      server.kill();
    }
  },
);
