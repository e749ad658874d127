import { execFile } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { algorithms } from "../../services/generator/src/algorithms.ts";
import { OwnInstallation } from "../harness/own-installation.ts";
import { refusalOf } from "../harness/refusal.ts";

let house: OwnInstallation;
let file: string;
const ring = "payments";
const kinds: string[] = [];

const share = (number: number): string => join(house.workDirectory, `share-${number}.txt`);
const inWork = (name: string): string => join(house.workDirectory, name);

function drill(...args: string[]) {
  return house.cli(
    "--json",
    "backup",
    "drill",
    "--in",
    file,
    "--share",
    share(1),
    "--share",
    share(2),
    ...args,
  );
}

async function held(): Promise<{ id: string; outcome: string; reason: string; endedAt: string }[]> {
  return (await house.cli("--json", "backup", "drill", "--list")).json().drills;
}

/** Processes that have to do with the scratch directory. */
function scratchProcesses(): string[] {
  const scratch = join(house.stateDirectory, "drill");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
        const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
        return line.includes(scratch) || environment.includes(`=${scratch}`) ? [line] : [];
      } catch {
        return [];
      }
    });
}

async function expectNothingLeft(): Promise<void> {
  expect(existsSync(join(house.stateDirectory, "drill"))).toBe(false);
  await expect.poll(scratchProcesses, { timeout: 5000 }).toEqual([]);
}

beforeAll(async () => {
  house = await OwnInstallation.create();
  const { code, said } = await house.start();
  expect(code, said).toBe(0);
  file = inWork("claviger.backup");
  using claviger = house.connect();
  await claviger.keyrings.createKeyring({ name: ring });
  for (const [algorithm, { hsm, status }] of Object.entries(algorithms)) {
    if (status !== "approved" || algorithm.endsWith("4096")) continue;
    for (const protection of hsm === undefined ? ["software"] : ["software", "hsm"]) {
      const made = claviger.keyGeneration.createKey({
        name: `${ring}/${algorithm}-${protection}`,
        algorithm,
        protection,
      });
      // What this module lacks, no backup holds.
      const lacks = await made.then(
        () => undefined,
        ({ message }: Error) => message,
      );
      if (lacks === undefined) kinds.push(`${algorithm} ${protection}`);
      else expect(lacks).toContain("cannot have hsm protection");
    }
  }
  // A generation of the keyring's key that was before, and versions that are not current.
  await claviger.keyGeneration.createKeyVersion({ name: `${ring}/aes-256-gcm-software` });
  await claviger.keyrings.rotateKeyring({ name: ring });
  await claviger.keyGeneration.createKeyVersion({ name: `${ring}/aes-256-gcm-hsm` });
  for (const name of readdirSync(join(house.stateDirectory, "recovery"))) {
    copyFileSync(join(house.stateDirectory, "recovery", name), inWork(name));
  }
  const created = await house.cli("--json", "backup", "create", "--out", file);
  expect(created.code, created.stderr).toBe(0);
}, 240_000);
afterAll(() => house?.[Symbol.asyncDispose]());

test("a drill proves keys of each algorithm and protection, and its signed report verifies offline", {
  timeout: 180_000,
}, async () => {
  const before = await house.superuser(
    "SELECT id, state, current_version, seal FROM storage.keys ORDER BY id",
  );
  const supervisor = join(house.stateDirectory, "run", "supervisor.json");
  const running = readFileSync(supervisor, "utf8");
  const out = inWork("drill.json");
  const { code, stderr, json } = await drill("--out", out);
  expect(code, stderr).toBe(0);
  const report = json();
  expect(report).toMatchObject({ outcome: "proved", failed: 0, failures: [] });
  type Proof = { algorithm: string; protection: string; used: number; versions: number; by: string };
  const proofs: Proof[] = report.proofs;
  for (const kind of kinds) {
    const found = proofs.filter(({ algorithm, protection }) => `${algorithm} ${protection}` === kind);
    expect(found.length, kind).toBeGreaterThan(0);
    for (const { by, used } of found) {
      expect(used, kind).toBeGreaterThan(0);
      const symmetric = /^(aes|hmac)/.test(kind);
      const expected = symmetric ? (kind.endsWith("hsm") ? "binding" : "digest") : "public-key";
      expect(by, kind).toBe(expected);
    }
  }
  const [{ count }] = (await house.superuser(
    "SELECT count(*)::integer AS count FROM storage.key_versions WHERE material IS NOT NULL",
  )) as [{ count: number }];
  expect(report.bound).toBe(count);
  expect(report.seals).toContainEqual({ service: "storage", rows: expect.any(Number), findings: 0 });

  using claviger = house.connect();
  const bundle = inWork("bundle.pem");
  writeFileSync(bundle, (await claviger.certificates.getTrustBundle({})).trustBundle);
  const example = join(import.meta.dirname, "../../examples/verify-attestation.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [example, out, bundle]);
  expect(stdout).toContain(report.backup);
  const again = inWork("again.json");
  expect((await house.cli("backup", "drill", "--report", report.drill, "--out", again)).code).toBe(0);
  expect(readFileSync(again, "utf8")).toBe(readFileSync(out, "utf8"));

  expect((await held())[0]).toMatchObject({ id: report.drill, outcome: "proved" });
  const search = await house.cli("--json", "audit", "search", "--limit", "1000");
  for (const method of ["BeginDrill", "EndDrill"]) expect(search.stdout).toContain(`BackupService/${method}`);
  await expectNothingLeft();
  expect(readFileSync(supervisor, "utf8")).toBe(running);
  expect(
    await house.superuser("SELECT id, state, current_version, seal FROM storage.keys ORDER BY id"),
  ).toEqual(before);
});

test("a wrong share is told apart from a damaged backup, and both are kept as failed", {
  timeout: 120_000,
}, async () => {
  const refusal = async (args: string[]) => {
    const { code, stderr } = await house.cli("--json", "backup", "drill", ...args);
    expect(code, stderr).toBe(5);
    await expectNothingLeft();
    return (JSON.parse(stderr) as { error: { kind: string; message: string } }).error;
  };
  const wrong = inWork("wrong.txt");
  // A share of this very key, as its custodian never had it: its own checksum fits.
  const { createHash } = await import("node:crypto");
  const text = readFileSync(share(2), "utf8").replace(
    /^value: (.)/m,
    (_, first: string) => `value: ${first === "A" ? "B" : "A"}`,
  );
  const body = text.slice(0, text.indexOf("checksum: "));
  writeFileSync(wrong, `${body}checksum: ${createHash("sha256").update(body).digest("hex").slice(0, 8)}\n`);
  expect(await refusal(["--in", file, "--share", share(1), "--share", wrong])).toMatchObject({
    kind: "failed-precondition",
    message: expect.stringContaining("one of these shares is wrong"),
  });
  expect(await refusal(["--in", file, "--share", share(1)])).toMatchObject({
    kind: "failed-precondition",
    message: "2 different shares are needed",
  });
  const damaged = inWork("damaged.backup");
  const bytes = readFileSync(file);
  bytes[Math.floor(bytes.length / 2)]! ^= 1;
  writeFileSync(damaged, bytes);
  expect(await refusal(["--in", damaged, "--share", share(1), "--share", share(2)])).toMatchObject({
    kind: "integrity",
    message: expect.stringContaining("damaged"),
  });
  const [last, , first] = await held();
  expect(last).toMatchObject({ outcome: "failed", reason: expect.stringContaining("damaged") });
  expect(first).toMatchObject({ outcome: "failed", reason: expect.stringContaining("one of these shares") });
});

test("a drill that is killed leaves nothing that the next one, or a stop, does not take away", {
  timeout: 240_000,
}, async () => {
  for (const moment of ["filling a database", "using keys of each kind"]) {
    const child = house.spawnCli("backup", "drill", "--in", file, "--share", share(1), "--share", share(3));
    await new Promise<void>((resolve, reject) => {
      let said = "";
      child.stderr!.on("data", (piece: Buffer) => {
        said += piece;
        if (said.includes(moment)) resolve();
      });
      child.once("exit", () => reject(new Error(`it ended before "${moment}": ${said}`)));
    });
    process.kill(-child.pid!, "SIGKILL");
  }
  expect(existsSync(join(house.stateDirectory, "drill"))).toBe(true);
  const { code, stderr } = await drill();
  expect(code, stderr).toBe(0);
  await expectNothingLeft();
  // The two that were killed are known to have begun.
  expect((await held()).map(({ outcome }) => outcome)).toEqual(
    expect.arrayContaining(["proved", "begun", "begun"]),
  );
});

test("who interrupts a drill gets everything cleared away", { timeout: 120_000 }, async () => {
  const child = house.spawnCli("backup", "drill", "--in", file, "--share", share(1), "--share", share(3));
  await new Promise<void>((resolve) => {
    child.stderr!.on("data", (piece: Buffer) => {
      if (piece.includes("filling a database")) resolve();
    });
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  process.kill(-child.pid!, "SIGINT");
  await exited;
  await expectNothingLeft();
  expect((await held())[0]).toMatchObject({ outcome: "failed" });
});

test("material that was changed in the database before the backup was made is found, and the key named", {
  timeout: 120_000,
}, async () => {
  await house.superuser(
    `UPDATE storage.key_versions v SET material = o.material FROM storage.key_versions o, storage.keys k, storage.keys p
     WHERE k.id = v.key_id AND k.name = 'hmac-sha256-software' AND p.id = o.key_id AND p.name = 'ed25519-software'`,
  );
  const tampered = inWork("tampered.backup");
  expect((await house.cli("backup", "create", "--out", tampered)).code).toBe(0);
  const { code, stdout } = await house.cli(
    ...["--json", "backup", "drill", "--in", tampered],
    ...["--share", share(1), "--share", share(2)],
  );
  expect(code).toBe(5);
  const report = JSON.parse(stdout) as { outcome: string; failures: { of: string; what: string }[] };
  expect(report.outcome).toBe("failed");
  expect(report.failures).toContainEqual({
    of: `${ring}/hmac-sha256-software@1`,
    what: expect.stringContaining("is not what the HSM bound to it"),
  });
  // Its seal tells the same.
  expect(report.failures.some(({ of }) => of.startsWith("key_versions: "))).toBe(true);
});

test("nobody has a report signed that no backup of the installation vouches for", async () => {
  using claviger = house.connect();
  const header = { backupId: "made-up", madeAt: new Date().toISOString(), recoveryKey: "0011223344556677" };
  const { drillId } = await claviger.backup.beginDrill(header);
  const made = JSON.parse(
    Buffer.from(
      (await claviger.backup.listDrills({})).drills.find(({ record }) => record.length > 0)!.record,
    ).toString(),
  ) as { report: object };
  const report = Buffer.from(JSON.stringify({ ...made.report, drill: drillId, failed: 0, failures: [] }));
  const refusal = await refusalOf(claviger.backup.endDrill({ drillId, report, mac: Buffer.alloc(32, 7) }));
  expect(refusal).toMatchObject({ kind: "failed-precondition" });
  expect(refusal.message).toContain("vouches");
  await claviger.backup.endDrill({ drillId, failure: "given up" });
  expect((await refusalOf(claviger.backup.endDrill({ drillId, failure: "once more" }))).kind).toBe(
    "failed-precondition",
  );
});
