import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { requestFor } from "../adversary/hostile-csr.ts";
import { unique, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { certificates, keyGeneration, keyrings } = house.claviger;
const ring = unique("attested");
const directory = mkdtempSync(join(tmpdir(), "claviger-attestation-"));
const bundle = join(directory, "bundle.pem");
const example = join(import.meta.dirname, "../../examples/verify-attestation.ts");

beforeAll(async () => {
  await keyrings.createKeyring({ name: ring });
  writeFileSync(bundle, (await certificates.getTrustBundle({})).trustBundle);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What the example, which knows nothing of Claviger, makes of an attestation. */
async function verify(file: string, trust = bundle): Promise<{ code: number; output: string }> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [example, file, trust]);
    return { code: 0, output: stdout };
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string };
    return { code, output: stderr };
  }
}

async function attest(name: string): Promise<string> {
  const file = join(directory, `${unique("a")}.json`);
  const { code, stderr } = await house.cli(["keys", "attest", name, "--out", file]);
  expect(code, stderr).toBe(0);
  return file;
}

test.each([
  ["aes-256-gcm", "software", "hsm+operating-system", "symmetric"],
  ["aes-256-gcm", "hsm", "hsm", "symmetric"],
  ["ecdsa-p384", "software", "hsm+operating-system", "pairwise-consistency public-key"],
  ["ecdsa-p256", "hsm", "hsm", "pairwise-consistency public-key"],
  ["rsa-pss-3072", "software", "operating-system", "pairwise-consistency public-key rsa-parameters"],
  ["ml-kem-768", "software", "hsm+operating-system", "pairwise-consistency public-key"],
])(
  "a key for %s with %s protection says how it came to be, and it verifies offline",
  async (algorithm, protection, randomness, validation) => {
    const name = `${ring}/${unique("k")}`;
    await keyGeneration.createKey({ name, algorithm, protection });
    const file = await attest(`${name}@1`);
    const { code, output } = await verify(file);
    expect(code, output).toBe(0);
    const record = JSON.parse(
      (JSON.parse(readFileSync(file, "utf8")) as { record: string }).record,
    ) as Record<string, unknown>;
    expect(record).toMatchObject({
      name,
      version: 1,
      algorithm,
      protection,
      randomness,
      validation,
      healthTests: "passed",
    });
    expect(record.requester).toBe(`spiffe://${house.trustDomain}/user/administrator`);
    if (validation !== "symmetric") {
      const { subjectPublicKeyInfo } = await keyGeneration.getPublicKey({ name });
      expect(record.publicKeySha256).toBe(createHash("sha256").update(subjectPublicKeyInfo).digest("base64"));
    }
  },
);

test("each version has a record of its own, and so have Claviger's own keys, the signer's too", async () => {
  const name = `${ring}/${unique("k")}`;
  await keyGeneration.createKey({ name, algorithm: "ed25519" });
  await keyGeneration.createKeyVersion({ name });
  const [first, second] = [
    await keyGeneration.attestKey({ name, version: 1 }),
    await keyGeneration.attestKey({ name }),
  ];
  expect([first.version, second.version]).toEqual([1, 2]);
  expect(Buffer.from(first.record)).not.toEqual(Buffer.from(second.record));
  for (const own of [
    "system/ca-root",
    "system/ca-issuing",
    "system/audit-checkpoint",
    "system/attestation",
  ]) {
    expect((await verify(await attest(own))).code, own).toBe(0);
  }
  expect((await refusalOf(keyGeneration.attestKey({ name, version: 3 }))).kind).toBe("not-found");
});

test("a changed record, another signature, another root and another signer are refused", async () => {
  const name = `${ring}/${unique("k")}`;
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  const file = await attest(name);
  const whole = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  const other = JSON.parse(readFileSync(await attest("system/ca-root"), "utf8")) as Record<string, string>;
  const { certificateChain } = await certificates.issueCertificate({
    certificateSigningRequest: requestFor([{ dns: "signer.example" }]).csr,
    profile: "server",
  });
  const changes = [
    { record: whole.record!.replace("software", "hardware") },
    { signature: other.signature! },
    { certificateChain },
  ];
  for (const change of changes) {
    const changed = join(directory, "changed.json");
    writeFileSync(changed, JSON.stringify({ ...whole, ...change }));
    expect((await verify(changed)).code).toBe(5);
  }
  const foreign = join(directory, "foreign.pem");
  // The server's own certificate, which is no CA's.
  writeFileSync(
    foreign,
    certificateChain.slice(0, certificateChain.indexOf("-----END CERTIFICATE-----") + 26),
  );
  expect((await verify(file, foreign)).code).toBe(5);
});

test("the ceremony's transcript is shown to auditors, signed, and verifies as keys' attestations do", async () => {
  const out = join(directory, "ceremony.json");
  const { code, stderr, stdout } = await house.cli(["ceremony", "--out", out, "--json"]);
  expect(code, stderr).toBe(0);
  const facts = JSON.parse(stdout) as Record<string, unknown>;
  const held = JSON.parse(
    readFileSync(join(house.layout.serviceDirectory("generator"), "ceremony.json"), "utf8"),
  ) as { token: { serial: string }; heldAt: string; recoveryWraps: Record<string, string> };
  expect(facts).toMatchObject({
    kind: "ceremony",
    trustDomain: house.trustDomain,
    heldAt: held.heldAt,
    token: held.token,
    rightToken: held.token.serial,
    custody: { threshold: 2, shares: 3 },
    wrappedForRecovery: Object.keys(held.recoveryWraps).sort(),
  });
  expect((await verify(out)).code).toBe(0);
  const whole = JSON.parse(readFileSync(out, "utf8")) as Record<string, string>;
  writeFileSync(
    out,
    JSON.stringify({ ...whole, record: whole.record!.replace('"threshold":2', '"threshold":3') }),
  );
  expect((await verify(out)).code).toBe(5);
  const auditor = await house.enrol(unique("auditor"), "auditor");
  expect((await auditor.keyrings.attestCeremony({})).signature.length).toBeGreaterThan(0);
  const user = await house.enrol(unique("user"), "user");
  expect((await refusalOf(user.keyrings.attestCeremony({}))).kind).toBe("denied");
});

test("nobody gets a certificate that could pass for the signer's", async () => {
  for (const profile of ["client", "server", "workload"]) {
    const csr = requestFor([{ uri: "urn:claviger:attestation" }]).csr;
    const refusal = await refusalOf(
      certificates.issueCertificate({ certificateSigningRequest: csr, profile }),
    );
    expect(["invalid-argument", "denied"]).toContain(refusal.kind);
  }
});

test("a record that was moved to another key in the database is noticed", async () => {
  const [one, two] = [`${ring}/${unique("k")}`, `${ring}/${unique("k")}`];
  for (const name of [one, two]) await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  await house.superuser(
    `update storage.generation_records set record = (select record from storage.generation_records r
       join storage.keys k on k.id = r.key_id where k.keyring || '/' || k.name = $2)
     where key_id = (select id from storage.keys where keyring || '/' || name = $1)`,
    [one, two],
  );
  const { code, stderr } = await house.cli(["keys", "attest", one, "--out", join(directory, "moved.json")]);
  expect(code).toBe(5);
  expect(stderr).toContain("not that of");
});
