import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";

const house = useInstallation();
const { cli } = house;
const scratch = mkdtempSync(join(tmpdir(), "claviger-cli-"));
const at = (name: string): string => join(scratch, name);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const openssl = ["/usr/bin/openssl", "/bin/openssl"].find((path) => existsSync(path));

test("status lists five services with address and version, PostgreSQL, NATS and the HSM", async () => {
  const { code, stdout } = await cli(["status", "--json"]);
  expect(code).toBe(0);
  const status = JSON.parse(stdout) as {
    services: Record<string, string>[];
    dependencies: { name: string }[];
  };
  expect(status.services.map(({ name }) => name).sort()).toEqual([
    "audit",
    "distribution",
    "generator",
    "rotation",
    "storage",
  ]);
  for (const service of status.services)
    expect(service).toMatchObject({ state: "ok", certificateIssuer: "claviger" });
  expect(status.dependencies.map(({ name }) => name).sort()).toEqual([
    "emergencies",
    "hsm",
    "nats",
    "postgresql",
    "registry",
    "rows",
    "self-tests",
  ]);
});

test("doctor finds the five services on this host, none of which may write a core dump", async () => {
  const { code, stdout } = await house.cli(["doctor", "--json"]);
  expect([0, 5]).toContain(code);
  const { checks } = JSON.parse(stdout.toString()) as { checks: { name: string; state: string }[] };
  for (const service of ["storage", "generator", "distribution", "rotation", "audit"]) {
    expect(checks).toContainEqual(expect.objectContaining({ name: `core dumps of ${service}`, state: "ok" }));
  }
  expect(checks.some(({ state }) => state === "risk")).toBe(code === 5);
});

test("a first key lives its whole life on the command line", async () => {
  const ring = unique("payments");
  const key = `${ring}/card-data`;
  expect((await cli(["keyrings", "create", ring])).code).toBe(0);
  expect((await cli(["keys", "create", key, "--algorithm", "aes-256-gcm", "--protection", "hsm"])).code).toBe(
    0,
  );
  expect((await cli(["encrypt", key, "--in", "-", "--out", at("c.bin")], { input: "secret\n" })).code).toBe(
    0,
  );
  expect((await cli(["keys", "rotate", key])).code).toBe(0);
  expect(await cli(["decrypt", key, "--in", at("c.bin"), "--out", "-"])).toMatchObject({
    code: 0,
    stdout: "secret\n",
  });
  const versions = JSON.parse((await cli(["keys", "versions", key, "--json"])).stdout) as {
    versions: unknown[];
  };
  expect(versions.versions.length).toBe(2);
  const destroyed = JSON.parse((await cli(["keys", "destroy", key, "--json"])).stdout) as {
    destroyAt: string;
  };
  const refused = await cli(["encrypt", key, "--in", "-", "--out", at("d.bin")], { input: "x" });
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain(destroyed.destroyAt.slice(0, 10));
  expect(existsSync(at("d.bin"))).toBe(false);
  expect((await cli(["keys", "restore", key])).code).toBe(0);
  expect((await cli(["encrypt", key, "--in", "-", "--out", at("d.bin")], { input: "x" })).code).toBe(0);
});

test("exit codes say what kind of refusal it was, and --json says it in one document", async () => {
  const refusals: [string[], number, string][] = [
    [["keys", "show", `${unique("no")}/such`], 3, "not-found"],
    [["keys", "create", "no-such-ring-here/k", "--algorithm", "3des"], 2, "invalid-argument"],
    [["encrypt", "system/ca-root", "--in", "-", "--out", "-"], 4, "denied"],
    [["keys", "destroy", "system/ca-root"], 4, "denied"],
  ];
  for (const [line, code, kind] of refusals) {
    const result = await cli([...line, "--json"], { input: "x" });
    expect(result.code, line.join(" ")).toBe(code);
    expect(JSON.parse(result.stderr)).toMatchObject({ error: { kind } });
    expect(result.stdout).toBe("");
  }
  expect((await cli(["no-such-command"])).code).toBe(2);
  expect((await cli(["keys", "create"])).code).toBe(2);
});

test.skipIf(openssl === undefined)(
  "a certificate for openssl's request passes openssl's strict verification, and shows as revoked afterwards",
  async () => {
    const run = (line: string[]): string => execFileSync(openssl!, line, { encoding: "utf8", stdio: "pipe" });
    run(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", at("r.key")]);
    run([
      "req",
      "-new",
      "-key",
      at("r.key"),
      "-subj",
      "/CN=web.test",
      "-addext",
      "subjectAltName=DNS:web.test",
      "-out",
      at("r.csr"),
    ]);
    const issued = await cli([
      "certs",
      "issue",
      "--csr",
      at("r.csr"),
      "--profile",
      "server",
      "--out",
      at("c.pem"),
      "--json",
    ]);
    const { serial } = JSON.parse(issued.stdout) as { serial: string };
    await cli(["certs", "bundle", "--out", at("bundle.pem")]);
    const verification = ["verify", "-x509_strict", "-CAfile", at("bundle.pem"), "-untrusted", at("c.pem")];
    expect(run([...verification, at("c.pem")])).toContain("OK");
    await cli(["certs", "crl", "--out", at("crl.pem")]);
    const checked = [...verification, "-crl_check", "-CRLfile", at("crl.pem"), at("c.pem")];
    expect(run(checked)).toContain("OK");
    expect((await cli(["certs", "revoke", serial, "--reason", "keyCompromise"])).code).toBe(0);
    await cli(["certs", "crl", "--out", at("crl.pem")]);
    expect(() => run(checked)).toThrow("revoked");
  },
);

test("a proof is verified offline, and any byte of its record that is changed makes it fail", async () => {
  const key = `${unique("proof")}`;
  await cli(["keyrings", "create", key]);
  const { value: sequence } = await until(async () => {
    const found = JSON.parse((await cli(["audit", "search", "--key", key, "--json"])).stdout) as {
      records: { sequence: number }[];
    };
    return found.records[0]?.sequence;
  }, 15_000);
  expect((await cli(["audit", "proof", String(sequence), "--out", at("p.json")])).code).toBe(0);
  expect((await cli(["audit", "verify", "--offline", at("p.json")])).code).toBe(0);
  const proof = readFileSync(at("p.json"), "utf8");
  const record = proof.indexOf('"record"');
  for (const offset of [30, 80, 130]) {
    const position = record + offset;
    const changed = proof[position] === "x" ? "y" : "x";
    writeFileSync(at("q.json"), proof.slice(0, position) + changed + proof.slice(position + 1));
    expect((await cli(["audit", "verify", "--offline", at("q.json")])).code).toBe(5);
  }
});
