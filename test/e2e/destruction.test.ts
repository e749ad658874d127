import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { RegistryAccess } from "../harness/registry-access.ts";

const house = useInstallation();
const { backup, certificates, cryptography, keyGeneration, keyrings, keys } = house.claviger;
const plaintext = Buffer.from("about to be nobody's");

const registry = new RegistryAccess(house);
afterAll(() => registry[Symbol.asyncDispose]());
const endPeriod = (name: string): Promise<void> => registry.endPeriod(name, new Date(Date.now() - 1000));

async function certificateOf(name: string) {
  const answer = await keyGeneration.attestDestruction({ name });
  return JSON.parse(Buffer.from(answer.record).toString("utf8"));
}

test("a destroyed key has a certificate: who let go of it, and what may still open an old copy until when", async () => {
  const ring = unique("ending");
  const name = `${ring}/k`;
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  await keyGeneration.createKeyVersion({ name });
  await cryptography.encrypt({ name, plaintext });
  const early = await refusalOf(keyGeneration.attestDestruction({ name }));
  expect(early).toMatchObject({
    kind: "failed-precondition",
    message: expect.stringContaining("not destroyed"),
  });

  const { recoveryKey } = await backup.getCustody({});
  const kept = { recoveryKey, keepDays: 3650, backupId: randomUUID(), manifestDigest: randomBytes(32) };
  await backup.attestBackup(kept);
  expect((await refusalOf(backup.attestBackup(kept))).kind).toBe("already-exists");
  expect((await refusalOf(backup.attestBackup({ ...kept, keepDays: 4000 }))).kind).toBe("invalid-argument");
  const listed = (await backup.listBackups({})).backups.find(({ id }) => id === kept.backupId)!;
  expect(listed).toMatchObject({ expired: false, recoveryKey });

  await keys.destroyKey({ name });
  const pending = await refusalOf(keyGeneration.attestDestruction({ name }));
  expect(pending.message).toMatch(/its day is \d{4}-/);
  await endPeriod(name);
  await until(async () => (await keys.getKey({ name })).key?.state === "destroyed", 15_000);
  await until(async () => (await certificateOf(name)).acknowledgedBy.length === 1, 5000);
  const said = await certificateOf(name);
  expect(said).toMatchObject({
    v: 1,
    kind: "destruction",
    name,
    algorithm: "aes-256-gcm",
    versions: 2,
    keyringGenerations: [{ generation: 1, destroyedInTokenAt: null }],
    lastBackupExpiresAt: listed.expiresAt,
  });
  expect(Date.parse(said.acknowledgedBy[0].at)).toBeLessThan(Date.parse(said.heldNowhereAfter));
  expect((await refusalOf(cryptography.encrypt({ name, plaintext }))).kind).toBe("failed-precondition");

  // The keyring gets its next key, and the one that wrapped it ends in the token.
  await keyrings.rotateKeyring({ name: ring });
  await until(
    async () => (await certificateOf(name)).keyringGenerations[0].destroyedInTokenAt !== null,
    15_000,
  );

  const file = join(house.workDirectory, `${unique("destroyed")}.json`);
  const written = await house.cli(["keys", "destruction-certificate", name, "--out", file]);
  expect(written).toMatchObject({ code: 0, stdout: expect.stringContaining("held nowhere after") });
  // By the example, which knows nothing of Claviger.
  writeFileSync(`${file}.pem`, (await certificates.getTrustBundle({})).trustBundle);
  const example = join(house.clone, "examples/verify-attestation.ts");
  expect(execFileSync(process.execPath, [example, file, `${file}.pem`], { encoding: "utf8" })).toContain(
    name,
  );
});

test("what is not destroyed, and not there, has no certificate", async () => {
  const refusal = await refusalOf(keyGeneration.attestDestruction({ name: "nowhere/never" }));
  expect(["not-found", "denied"]).toContain(refusal.kind);
  const { code, stderr } = await house.cli(["keys", "destruction-certificate", "nowhere/never"]);
  expect({ code, stderr }).toMatchObject({ code: 3 });
});
