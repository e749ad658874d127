import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  type Claviger,
  createClaviger,
  enrollWithToken,
  keepTrust,
  renewIdentity,
  writeIdentity,
} from "@claviger/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { OwnInstallation } from "../harness/own-installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { clone } from "../harness/shared-installation.ts";

const servicesCount = 20;
const pauseBetweenCallsMilliseconds = 25;

interface Service {
  name: string;
  port: number;
  directory: string;
  thread: Worker;
}

interface Load {
  calls: number;
  failures: string[];
  /** Issuer subjects of the certificates that were shown, in the order of their first being seen. */
  issuers: Set<string>;
  stop: () => Promise<void>;
}

let house: OwnInstallation;
let administrator: Claviger;
let caller: Claviger;
let keeping: AsyncDisposable;
const services: Service[] = [];

beforeAll(async () => {
  house = await OwnInstallation.create();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  administrator = house.connect();
  caller = await enrol("caller");
  keeping = keepTrust(caller);
  for (let index = 0; index < servicesCount; index += 4) {
    const four = [0, 1, 2, 3].map((offset) => startService(`service-${index + offset}`));
    services.push(...(await Promise.all(four)));
  }
}, 400_000);

afterAll(async () => {
  await Promise.all(services.map(({ thread }) => thread.terminate()));
  await keeping?.[Symbol.asyncDispose]();
  caller?.close();
  administrator?.close();
  await house?.[Symbol.asyncDispose]();
});

async function enrol(name: string, place = name): Promise<Claviger> {
  const { token } = await administrator.identities.createEnrollmentToken({ name });
  const directory = join(house.workDirectory, place);
  writeIdentity(directory, { ...(await enrollWithToken(token)), addresses: administrator.addresses });
  return createClaviger({ config: join(directory, "claviger.json") });
}

/** examples/mtls-service.ts as a user starts it, with a token; in a thread, since twenty processes start slowly. */
async function startService(name: string): Promise<Service> {
  const { token } = await administrator.identities.createEnrollmentToken({ name });
  const tokenFile = join(house.workDirectory, `${name}.token`);
  const directory = join(house.workDirectory, name);
  mkdirSync(directory);
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const thread = new Worker(join(clone, "examples/mtls-service.ts"), {
    argv: [tokenFile, directory],
    env: { ...process.env, CLAVIGER_CONFIG: house.configPath },
    execArgv: [],
    stdout: true,
  });
  const said = await new Promise<string>((resolve, reject) => {
    let text = "";
    thread.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (/serves https:\/\/127\.0\.0\.1:\d+\n/.test(text)) resolve(text);
    });
    thread.once("error", reject);
    thread.once("exit", () => reject(new Error(`${name} did not start: ${text}`)));
  });
  return { name, port: Number(/127\.0\.0\.1:(\d+)\n/.exec(said)?.[1]), directory, thread };
}

/** A new connection, and so a full handshake both ways, for each call. */
function call(port: number, name: string): Promise<X509Certificate> {
  const { certificateChain: cert, key, trustBundle: ca } = caller.identity.material;
  return new Promise((resolve, reject) => {
    const checkServerIdentity = (_: string, { subjectaltname = "" }: { subjectaltname?: string }) =>
      subjectaltname.endsWith(`/workload/${name}`) ? undefined : new Error(`not ${name}`);
    const options = { host: "127.0.0.1", port, agent: false, cert, key, ca, checkServerIdentity };
    const asked = request(options, (answer) => {
      const { raw } = (answer.socket as import("node:tls").TLSSocket).getPeerCertificate();
      answer.resume();
      answer.on("end", () =>
        answer.statusCode === 200
          ? resolve(new X509Certificate(raw))
          : reject(new Error(`${name} answers ${answer.statusCode}`)),
      );
    });
    asked.on("error", reject);
    asked.end();
  });
}

function startLoad(): Load {
  const load = { calls: 0, failures: [] as string[], issuers: new Set<string>() };
  let ended = false;
  const running = (async () => {
    for (let index = 0; !ended; index += 1) {
      const { name, port } = services[index % services.length]!;
      try {
        load.issuers.add((await call(port, name)).issuer);
        // Claviger's own services are called beside them.
        if (index % 10 === 0) await caller.certificates.getTrustBundle({});
      } catch (error) {
        load.failures.push(`${name}: ${(error as Error).message}`);
      }
      load.calls += 1;
      await new Promise((resolve) => setTimeout(resolve, pauseBetweenCallsMilliseconds));
    }
  })();
  return Object.assign(load, {
    stop: async () => {
      ended = true;
      await running;
    },
  });
}

/** By the command line, whose process is another; the files that it replaces are this client's too. */
async function renewAdministrator(): Promise<void> {
  const renewed = await house.cli("certs", "renew");
  expect(renewed.code, renewed.stderr).toBe(0);
  administrator.identity.reload();
}

async function rotation() {
  return (await administrator.authorities.getAuthorityRotation({})).rotation;
}

test("a rotation of the CA runs to its end while services of the examples are under load, and no handshake fails", async () => {
  const load = startLoad();
  await until(() => load.calls > 40, 30_000);
  const { authorities: before } = await administrator.authorities.listAuthorities({});
  const oldRoot = before.find(({ name }) => name === "root")!.certificate.trim();

  const begun = JSON.parse((await house.cli("certs", "rotate-ca", "--json")).stdout);
  expect(begun.rotation).toMatchObject({ generation: 2 });
  // Everybody renews by themselves: nobody is told but by their own stream.
  await until(async () => (await rotation())?.stage === "renewing", 60_000);
  await until(async () => (await rotation())?.oldCertificatesWithoutSuccessor === 1, 90_000);
  const waiting = await rotation();
  // The one left is the first administrator's, whom nobody runs; it is named as the one without the new bundle.
  expect(waiting?.withoutBundle.map((uri) => uri.split("/").slice(3).join("/"))).toEqual([
    "user/administrator",
  ]);
  expect(waiting?.oldCertificates).toBeGreaterThan(0);
  const both = (await administrator.certificates.getTrustBundle({})).trustBundle;
  expect(both).toContain(oldRoot);
  expect(both.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);

  // Old certificates are valid for a month yet, and the rotation waits for that, unless told not to.
  expect((await rotation())?.stage).toBe("renewing");
  await renewAdministrator();
  await until(async () => {
    await house.cli("certs", "rotate-ca", "--revoke-superseded");
    return (await rotation())?.stage === "done";
  }, 90_000);
  const ended = (await administrator.authorities.listAuthorities({})).authorities;
  expect(ended.map(({ name, generation, state }) => `${name}@${generation} ${state}`)).toEqual([
    "issuing@1 retired",
    "issuing@2 active",
    "root@1 retired",
    "root@2 active",
  ]);
  const only = (await administrator.certificates.getTrustBundle({})).trustBundle;
  expect(only).not.toContain(oldRoot);
  await until(() => caller.identity.trustBundle === only, 10_000);
  for (const { directory } of services) {
    await until(() => readFileSync(join(directory, "bundle.pem"), "utf8") === only, 10_000);
  }
  const callsThen = load.calls;
  await until(() => load.calls > callsThen + 40, 30_000);
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(load.calls).toBeGreaterThan(200);
  expect([...load.issuers].map((issuer) => /CN=(.*)/.exec(issuer)?.[1])).toEqual([
    "Claviger issuing CA",
    "Claviger issuing CA 2",
  ]);
}, 500_000);

test("during a rotation a chain verifies for who trusts only the old root, and for who trusts only the new one", async ({
  skip,
}) => {
  const openssl = findOpenssl();
  if (openssl === undefined) skip("this machine has no openssl command");
  const twins = [await enrol("twin", "twin-one"), await enrol("twin", "twin-two")];
  const oldSerials = twins.map(({ identity }) => identity.serial);
  const { authorities } = await administrator.authorities.listAuthorities({});
  const generation = Math.max(...authorities.map((ca) => ca.generation)) + 1;
  await administrator.authorities.startAuthorityRotation({ generation });
  await until(async () => (await rotation())?.stage === "renewing", 60_000);
  const roots = (await administrator.authorities.listAuthorities({})).authorities.filter(
    ({ name, state }) => name === "root" && ["active", "retiring"].includes(state),
  );
  expect(roots).toHaveLength(2);
  // One identity in two places: one renews, and what is then superseded is its certificate alone.
  await renewIdentity(twins[0]!);
  const state = async (serial: string) =>
    (await administrator.certificates.getCertificate({ serial })).certificate?.state;
  await until(async () => {
    await administrator.authorities.revokeSupersededCertificates({});
    return (await state(oldSerials[0]!)) === "revoked";
  }, 60_000);
  expect(await state(oldSerials[1]!)).toBe("valid");
  await twins[1]!.certificates.getTrustBundle({});
  for (const twin of twins) twin.close();
  const newcomer = await enrol("newcomer");
  const chain = join(newcomer.identity.directory, "cert.pem");
  newcomer.close();
  for (const root of roots) {
    const file = join(house.workDirectory, `root-${root.generation}.pem`);
    writeFileSync(file, root.certificate);
    const said = execFileSync(openssl!, [
      "verify",
      "-x509_strict",
      "-CAfile",
      file,
      "-untrusted",
      chain,
      chain,
    ]);
    expect(said.toString()).toContain("OK");
  }
}, 200_000);

test("a rotation goes on where it stood when distribution was killed", async () => {
  // The one of the test before is still waiting for certificates to end.
  const { generation = 0, stage } = (await rotation())!;
  expect(stage).toBe("renewing");
  const again = await refusalOf(
    administrator.authorities.startAuthorityRotation({ generation: generation + 1 }),
  );
  expect(again).toMatchObject({ kind: "failed-precondition" });
  const supervisor = readFileSync(join(house.stateDirectory, "run", "supervisor.json"), "utf8");
  const { parts } = JSON.parse(supervisor) as { parts: { name: string; pid: number }[] };
  process.kill(parts.find(({ name }) => name === "distribution")!.pid, "SIGKILL");
  await until(async () => (await rotation())?.generation === generation, 30_000);
  await until(async () => (await rotation())?.waitingFor.length === 0, 60_000);
  expect((await rotation())?.stage).toBe("renewing");
}, 200_000);

test("a CA that signs is not distrusted; one before it is, with what it issued, at one command", async () => {
  const { authorities } = await administrator.authorities.listAuthorities({});
  const current = authorities.find(({ name, state }) => name === "root" && state === "active")!;
  const refused = await house.cli("certs", "distrust", `root@${current.generation}`);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain("signs now");

  // Of the generation that goes: it has certificates, since it was the current one until a moment ago.
  const old = authorities.find(({ name, state }) => name === "root" && state === "retiring")!;
  await renewAdministrator();
  const distrusted = await house.cli("certs", "distrust", `root@${old.generation}`);
  expect(distrusted.code, distrusted.stderr).toBe(0);
  await until(async () => {
    const { trustBundle } = await administrator.certificates.getTrustBundle({});
    return !trustBundle.includes(old.certificate.trim());
  }, 10_000);
  await until(async () => {
    const listed = (await administrator.authorities.listAuthorities({})).authorities;
    const issuing = listed.find(
      ({ name, generation }) => name === "issuing" && generation === old.generation,
    );
    // Its OCSP responder's own certificate is all that is left: it says of the others that they are revoked.
    return issuing?.state === "distrusted" && issuing.certificates <= 1;
  }, 30_000);
  await until(async () => (await rotation())?.stage === "done", 60_000);
}, 180_000);
