import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCertificate, splitChain } from "@claviger/x509";
import { afterAll, describe, expect, test } from "vitest";
import { requestFor } from "../adversary/hostile-csr.ts";
import { unique, useInstallation } from "../harness/installation.ts";
import { findOpenssl } from "../harness/openssl.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { certificates, profiles } = house.claviger;
const openssl = findOpenssl();
const at = (name: string): string => join(house.workDirectory, name);
const web = unique("web");

afterAll(async () => {
  await profiles.deleteProfile({ name: web });
});

describe("a profile that an administrator made", () => {
  test("is listed beside Claviger's own, and decides keys, usages, names and lives", async () => {
    const made = await house.cli([
      ...["certs", "profiles", "create", web, "--names", "dns,ip", "--usages", "serverAuth"],
      ...["--keys", "ec-p256", "--ttl", "1h", "--ttl-max", "2h", "--json"],
    ]);
    expect(made.code, made.stderr).toBe(0);
    const listed = (await profiles.listProfiles({})).profiles.map(
      ({ name, builtIn }) => `${name} ${builtIn}`,
    );
    expect(listed).toEqual(expect.arrayContaining(["server true", "workload true", `${web} false`]));
    const { csr } = requestFor([{ dns: "web.example" }, { ip: "192.0.2.9" }], "web.example");
    const answer = await certificates.issueCertificate({ certificateSigningRequest: csr, profile: web });
    const leaf = readCertificate(splitChain(answer.certificateChain)[0]!);
    expect(leaf.subjectAltNames).toEqual([{ dns: "web.example" }, { ip: "192.0.2.9" }]);
    const life = leaf.notAfter.getTime() - leaf.notBefore.getTime();
    expect(life).toBeGreaterThan(3_600_000);
    expect(life).toBeLessThan(3_700_000);
    // Advice on when to renew: around two thirds, and after the beginning in any case.
    const renewAt = Number(answer.renewAt!.seconds) * 1000;
    expect((renewAt - leaf.notBefore.getTime()) / life).toBeGreaterThan(0.61);
    expect((renewAt - leaf.notBefore.getTime()) / life).toBeLessThan(0.72);
  });

  test("refuses what it does not admit, saying what it does", async () => {
    const refused: [Parameters<typeof requestFor>, bigint, string][] = [
      [[[{ email: "a@b.example" }]], 0n, "kinds dns, ip"],
      [[[]], 0n, "no subject alternative name"],
      [[[{ uri: `spiffe://${house.trustDomain}/user/administrator` }]], 0n, "no SPIFFE identity"],
      [[[{ uri: "urn:claviger:attestation" }]], 0n, "Claviger's own"],
      [[[{ dns: "web.example" }], "bank.example"], 0n, "common name bank.example"],
      [[[{ dns: "web.example" }]], 7201n, "lives 300 s to"],
    ];
    for (const [asked, lifetimeSeconds, message] of refused) {
      const { csr: certificateSigningRequest } = requestFor(...asked);
      const call = certificates.issueCertificate({
        certificateSigningRequest,
        profile: web,
        lifetimeSeconds,
      });
      expect((await refusalOf(call)).message).toContain(message);
    }
  });

  test.each([
    [{ name: "server", lifetimeSecondsMax: 3600 }, "already-exists"],
    [{ name: "Web", lifetimeSecondsMax: 3600 }, "invalid-argument"],
    [{ name: "long", lifetimeSecondsMax: 400 * 86_400 }, "invalid-argument"],
    [{ name: "short", lifetimeSecondsMax: 60 }, "invalid-argument"],
    [{ name: "usage", lifetimeSecondsMax: 3600, extendedKeyUsages: ["OCSPSigning"] }, "invalid-argument"],
    [{ name: "keys", lifetimeSecondsMax: 3600, keyTypes: ["dsa"] }, "invalid-argument"],
    [{ name: "nobodys", lifetimeSecondsMax: 3600, authority: "none" }, "not-found"],
  ])("is not made as %o", async (profile, kind) => {
    expect((await refusalOf(profiles.createProfile({ profile }))).kind).toBe(kind);
  });

  test("whose row somebody edited is found out, and signs nothing", async () => {
    await house.superuser(
      "update distribution.profiles set lifetime_seconds_max = 30000000 where name = $1",
      [web],
    );
    const { csr } = requestFor([{ dns: "web.example" }]);
    const call = certificates.issueCertificate({ certificateSigningRequest: csr, profile: web });
    expect((await refusalOf(call)).kind).toBe("integrity");
    await house.superuser("update distribution.profiles set lifetime_seconds_max = 7200 where name = $1", [
      web,
    ]);
  });
});

describe("a name rule", () => {
  test("lets an identity have its names, by the command line, and no others; the refusal names the rules", async () => {
    const billing = await house.enrol(unique("billing"));
    const domain = `${unique("zone")}.example`;
    const added = await house.cli([
      "certs",
      "rules",
      "add",
      "--profile",
      web,
      "--to",
      billing.uri,
      "--dns",
      `*.${domain}`,
      "--json",
    ]);
    expect(added.code, added.stderr).toBe(0);
    const { id } = JSON.parse(added.stdout) as { id: string };
    const csr = at(`${unique("own")}.csr`);
    writeFileSync(csr, requestFor([{ dns: `a.${domain}` }]).csr);
    const given = await house.cli(["certs", "request", "--csr", csr, "--profile", web, "--json"], {
      config: billing.configPath,
    });
    expect(given.code, given.stderr).toBe(0);
    const ask = (...asked: Parameters<typeof requestFor>) =>
      billing.certificates.requestCertificate({
        certificateSigningRequest: requestFor(...asked).csr,
        profile: web,
      });
    const refused = await refusalOf(ask([{ dns: `a.${domain}` }, { dns: "bank.example" }]));
    expect(refused).toMatchObject({ kind: "denied", hint: `its rules: dns:*.${domain} (${id.slice(0, 8)})` });
    expect(refused.message).toContain("dns:bank.example");
    expect((await refusalOf(ask([{ dns: `a.b.${domain}` }]))).kind).toBe("denied");
    // A rule is of one profile.
    const elsewhere = billing.certificates.requestCertificate({
      certificateSigningRequest: requestFor([{ dns: `a.${domain}` }]).csr,
      profile: "server",
    });
    expect((await refusalOf(elsewhere)).kind).toBe("denied");
    expect((await house.cli(["certs", "rules", "remove", id])).code).toBe(0);
    expect((await refusalOf(ask([{ dns: `a.${domain}` }]))).kind).toBe("denied");
  });

  test("gives nobody an identity, nor a name in the subject alone", async () => {
    const thief = await house.enrol(unique("thief"));
    await profiles.addNameRule({
      profile: "client",
      identity: thief.uri,
      kind: "email",
      pattern: "*@a.example",
    });
    const ask = (profile: string, ...asked: Parameters<typeof requestFor>) =>
      refusalOf(
        thief.certificates.requestCertificate({
          certificateSigningRequest: requestFor(...asked).csr,
          profile,
        }),
      );
    const administrator = `spiffe://${house.trustDomain}/user/administrator`;
    expect((await ask("workload", [{ uri: administrator }])).kind).toBe("denied");
    expect((await ask("client", [{ uri: administrator }])).kind).toBe("invalid-argument");
    expect((await ask("client", [], "administrator")).kind).toBe("denied");
    expect((await ask("client", [{ email: "x@a.example" }], "administrator")).kind).toBe("denied");
    for (const [kind, pattern] of [
      ["uri", "spiffe://*"],
      ["uri", administrator],
      ["dns", "*"],
      ["ip", "0.0.0.0/99"],
    ] as const) {
      const call = profiles.addNameRule({ profile: "client", identity: thief.uri, kind, pattern });
      expect(["denied", "invalid-argument"], pattern).toContain((await refusalOf(call)).kind);
    }
  });

  test("that somebody wrote into the database is found out", async () => {
    const thief = await house.enrol(unique("thief"));
    await house.superuser(
      `insert into distribution.name_rules (id, profile, identity, kind, pattern, created_by, created_at, seal)
       values ('6f3c2a10-0000-4000-8000-000000000000', 'server', $1, 'dns', 'bank.example', $1, now(), $2)`,
      [thief.uri, Buffer.alloc(33, 1)],
    );
    const call = thief.certificates.requestCertificate({
      certificateSigningRequest: requestFor([{ dns: "bank.example" }]).csr,
      profile: "server",
    });
    expect((await refusalOf(call)).kind).toBe("integrity");
    await house.superuser("delete from distribution.name_rules where identity = $1", [thief.uri]);
  });
});

describe.skipIf(openssl === undefined)("a CA that an outside root signs", () => {
  const name = `external-${unique("partner").replace(/\d+$/, "")}x`;
  const run = (...line: string[]) =>
    execFileSync(openssl!, line, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });

  test.each(["ecdsa-p384", "rsa-pkcs1-3072"])(
    "has its key in the HSM (%s), and certificates that lead to that root",
    async (algorithm) => {
      const ca = `${name}-${algorithm.startsWith("rsa") ? "rsa" : "ec"}`;
      const asked = await house.cli([
        ...["certs", "ca", "request", ca, "--algorithm", algorithm],
        ...["--common-name", "Partner CA", "--out", at(`${ca}.csr`)],
      ]);
      expect(asked.code, asked.stderr).toBe(0);
      run(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        at("outside.key"),
        "-out",
        at("outside.pem"),
        "-subj",
        "/CN=Outside root",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-days",
        "30",
      );
      writeFileSync(
        at("ca.ext"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
      );
      run(
        "x509",
        "-req",
        "-in",
        at(`${ca}.csr`),
        "-CA",
        at("outside.pem"),
        "-CAkey",
        at("outside.key"),
        "-CAcreateserial",
        "-days",
        "20",
        "-extfile",
        at("ca.ext"),
        "-out",
        at(`${ca}.pem`),
      );
      const outside = execFileSync("cat", [at(`${ca}.pem`), at("outside.pem")]);
      writeFileSync(at("chain.pem"), outside);
      // Another root does not do.
      run(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        at("other.key"),
        "-out",
        at("other.pem"),
        "-subj",
        "/CN=Other",
        "-days",
        "3",
      );
      writeFileSync(at("wrong.pem"), execFileSync("cat", [at(`${ca}.pem`), at("other.pem")]));
      expect((await house.cli(["certs", "ca", "install", ca, "--chain", at("wrong.pem")])).code).toBe(2);
      writeFileSync(at("foreign.pem"), execFileSync("cat", [at("other.pem"), at("outside.pem")]));
      expect((await house.cli(["certs", "ca", "install", ca, "--chain", at("foreign.pem")])).code).toBe(2);
      const installed = await house.cli(["certs", "ca", "install", ca, "--chain", at("chain.pem")]);
      expect(installed.code, installed.stderr).toBe(0);

      const profile = unique("partner");
      await untilItSigns(() =>
        profiles.createProfile({ profile: { name: profile, authority: ca, lifetimeSecondsMax: 86_400 } }),
      );
      const { csr } = requestFor([{ dns: "partner.example" }]);
      const answer = await certificates.issueCertificate({ certificateSigningRequest: csr, profile });
      writeFileSync(at("partner.pem"), answer.certificateChain);
      const verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        at("outside.pem"),
        "-untrusted",
        at("partner.pem"),
        at("partner.pem"),
      ];
      expect(run(...verify)).toContain("OK");
      const url = `http://127.0.0.1:${house.ports.publicHttp}/v1/ocsp`;
      const said = run(
        "ocsp",
        "-issuer",
        at(`${ca}.pem`),
        "-cert",
        at("partner.pem"),
        "-url",
        url,
        "-CAfile",
        at("outside.pem"),
      );
      expect(said).toContain("good");
      // Who has that root is nobody here: it is in no bundle of Claviger's.
      expect((await certificates.getTrustBundle({})).trustBundle.match(/BEGIN/g)).toHaveLength(1);
      await profiles.deleteProfile({ name: profile });
    },
    240_000,
  );
});

async function untilItSigns<T>(action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

test("keys of types that a profile admits are certified, each with openssl's consent", async () => {
  const pairs = [
    generateKeyPairSync("ec", { namedCurve: "P-384" }),
    generateKeyPairSync("rsa", { modulusLength: 2048 }),
    generateKeyPairSync("ed25519"),
  ];
  if (openssl === undefined) return;
  const { trustBundle } = await certificates.getTrustBundle({});
  writeFileSync(at("bundle.pem"), trustBundle);
  for (const { privateKey } of pairs) {
    writeFileSync(at("some.key"), privateKey.export({ format: "pem", type: "pkcs8" }));
    const line = [
      "req",
      "-new",
      "-key",
      at("some.key"),
      "-subj",
      "/",
      "-addext",
      "subjectAltName=DNS:some.example",
    ];
    const csr = execFileSync(openssl, line, { stdio: ["ignore", "pipe", "ignore"] });
    const answer = await certificates.issueCertificate({ certificateSigningRequest: csr, profile: "server" });
    writeFileSync(at("some.pem"), answer.certificateChain);
    const verify = [
      "verify",
      "-x509_strict",
      "-CAfile",
      at("bundle.pem"),
      "-untrusted",
      at("some.pem"),
      at("some.pem"),
    ];
    expect(execFileSync(openssl, verify, { encoding: "utf8" })).toContain("OK");
    const refused = certificates.issueCertificate({ certificateSigningRequest: csr, profile: web });
    expect((await refusalOf(refused)).message).toContain("does not admit a key of type");
  }
});
