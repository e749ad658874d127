import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  acknowledgePreSharedKey,
  createPreSharedKey,
  fetchPreSharedKey,
  formatPreSharedKey,
  registerRecipient,
  rotatePreSharedKey,
} from "@claviger/client";
import { beforeAll, expect, test } from "vitest";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { claviger } = house;
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

async function made(overlapSeconds = 0): Promise<string> {
  const name = unique("vpn");
  await createPreSharedKey(claviger, { name, parties: [siteA.uri, siteB.uri], overlapSeconds });
  return name;
}

async function fetched(name: string, as: EnrolledClient, keep = true): Promise<Buffer> {
  using psk = await fetchPreSharedKey(as, { name });
  if (keep) await acknowledgePreSharedKey(as, psk);
  return Buffer.from(psk.key.expose());
}

test("both parties get the same key again and again, until each says that it is kept; nobody else gets it", async () => {
  const name = await made();
  const first = await fetched(name, siteA, false);
  expect(first).toHaveLength(32);
  expect(await fetched(name, siteA)).toEqual(first);
  expect(await fetched(name, siteB)).toEqual(first);
  for (const party of [siteA, siteB]) {
    const { kind, message } = await refusalOf(fetchPreSharedKey(party, { name }));
    expect([kind, message]).toEqual([
      "failed-precondition",
      expect.stringContaining("never delivered again"),
    ]);
  }
  for (const other of [stranger, claviger]) {
    expect((await refusalOf(fetchPreSharedKey(other, { name }))).kind).toBe("denied");
    const acknowledged = other.preSharedKeys.acknowledgePreSharedKey({ name, generation: 1 });
    expect((await refusalOf(acknowledged)).kind).toBe("denied");
  }
  // Nothing that could be opened later is kept.
  const [row] = await house.superuser(
    "select * from distribution.pre_shared_key_generations where name = $1",
    [name],
  );
  expect(row).toMatchObject({ ticket_a: null, ticket_b: null });
});

test("generations overlap: the old one goes on until both have the new one, and for the overlap", async () => {
  const name = await made(2);
  for (const party of [siteA, siteB]) await fetched(name, party);
  await rotatePreSharedKey(claviger, name);
  const states = async (): Promise<string[]> => {
    const { key } = await claviger.preSharedKeys.getPreSharedKey({ name });
    return key!.generations.map(({ state }) => state);
  };
  expect(await states()).toEqual(["current", "waiting"]);
  const next = await fetched(name, siteA);
  expect(await states()).toEqual(["current", "waiting"]);
  expect(await fetched(name, siteB)).toEqual(next);
  await until(async () => (await states()).join() === "retired,current", 10_000);
});

test("a key is for exactly two parties that have recipient keys, made by administrators, and never for others", async () => {
  const refused = async (parties: string[], as = claviger): Promise<string> =>
    (await refusalOf(createPreSharedKey(as, { name: unique("vpn"), parties }))).kind;
  const both = [siteA.uri, siteB.uri];
  expect(await refused([siteA.uri])).toBe("invalid-argument");
  expect(await refused([...both, stranger.uri])).toBe("invalid-argument");
  expect(await refused([siteA.uri, siteA.uri])).toBe("invalid-argument");
  expect(await refused(both, siteA)).toBe("denied");
  expect(await refused([siteA.uri, `${siteA.uri}-unregistered`])).toBe("failed-precondition");
  const name = await made();
  expect((await refusalOf(createPreSharedKey(claviger, { name, parties: both }))).kind).toBe(
    "already-exists",
  );
  const wrongPeer = fetchPreSharedKey(siteA, { name, peer: stranger.uri });
  expect((await refusalOf(wrongPeer)).kind).toBe("integrity");
});

test("the command line writes them for strongSwan and WireGuard, readable by their owner alone", async () => {
  const name = unique("vpn");
  const run = async (line: string[], as?: EnrolledClient) => {
    const result = await house.cli(
      ["psk", ...line, "--json"],
      as === undefined ? {} : { config: as.configPath },
    );
    expect(result.code, result.stderr).toBe(0);
    return result.json();
  };
  await run(["create", name, "--parties", `${siteB.uri},${siteA.uri}`]);
  const raw = await fetched(name, siteA, false);
  const out = at("psk");
  await run(["fetch", name, "--out", out, "--format", "ikev2", "--no-acknowledge"], siteA);
  expect(readFileSync(out, "utf8")).toContain(`secret = 0x${raw.toString("hex")}\n`);
  expect(readFileSync(out, "utf8")).toContain(`id-2 = "${siteB.uri}"`);
  expect(statSync(out).mode & 0o777).toBe(0o600);
  await run(["fetch", name, "--out", out, "--format", "wireguard"], siteA);
  expect(readFileSync(out, "utf8")).toContain(`PresharedKey = ${raw.toString("base64")}\n`);
  const again = await house.cli(["psk", "fetch", name, "--out", out], { config: siteA.configPath });
  expect(again.code).toBe(5);
}, 120_000);

const openssl = findOpenssl();

test.skipIf(openssl === undefined)(
  "openssl s_server and s_client talk with a key of Claviger's",
  async () => {
    const name = await made();
    using ours = await fetchPreSharedKey(siteA, { name });
    using theirs = await fetchPreSharedKey(siteB, { name });
    const [options, same] = [ours, theirs].map((psk) =>
      Buffer.from(formatPreSharedKey(psk, "openssl")).toString().trim().split(" "),
    ) as [string[], string[]];
    expect(same).toEqual(options);
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
