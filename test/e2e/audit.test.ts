import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  leafHash,
  openCheckpoint,
  parseVerifierKey,
  verifyConsistency,
  verifyInclusion,
} from "@claviger/merkle";
import { expect, test } from "vitest";
import { unique, until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";

const house = useInstallation();
const { audit, cryptography, keyGeneration, keyrings } = house.claviger;
const origin = `${house.trustDomain}/audit`;

async function recordsOf(resource: string, method: string) {
  const { records } = await audit.searchRecords({ resource, method, pageSize: 100 });
  return records.map((record) => ({
    leaf: JSON.parse(record.leaf) as Record<string, unknown>,
    personal: JSON.parse(record.personal) as Record<string, unknown>,
    raw: record,
  }));
}

test("each operation leaves one record that says who did what to what, refusals too, and never the data", async () => {
  const ring = unique("ring");
  const name = `${ring}/k`;
  await keyrings.createKeyring({ name: ring });
  await keyGeneration.createKey({ name, algorithm: "aes-256-gcm" });
  const plaintext = Buffer.from(`very secret ${ring}`);
  const { ciphertext } = await cryptography.encrypt({ name, plaintext });
  await cryptography.decrypt({ name, ciphertext });
  const claviger = await house.enrol(unique("outsider"));
  const identity = claviger.uri;
  await refusalOf(claviger.cryptography.encrypt({ name, plaintext }));
  const { value: encryptions } = await until(async () => {
    const found = await recordsOf(name, "Encrypt");
    return found.length === 2 ? found : undefined;
  }, 15_000);
  expect(encryptions.map(({ leaf }) => leaf.outcome).sort()).toEqual(["allowed", "refused"]);
  const refused = encryptions.find(({ leaf }) => leaf.outcome === "refused");
  expect(refused?.personal.actor).toBe(identity);
  expect(JSON.stringify(refused?.leaf)).not.toContain(identity);
  expect((await recordsOf(name, "Decrypt")).length).toBe(1);
  expect((await recordsOf(name, "KeyGenerationService/CreateKey")).length).toBe(0);
  const everything = await house.superuser<{ text: string }>(
    "SELECT leaf || coalesce(personal, '') AS text FROM audit.records WHERE resource LIKE $1",
    [`${ring}%`],
  );
  for (const { text } of everything) {
    expect(text).not.toContain("very secret");
    expect(text).not.toContain(plaintext.toString("base64"));
  }
});

test("a record is proved against the key that was pinned at the first start, and the log only grows", async () => {
  const pinned = readFileSync(join(house.layout.trust.directory, "audit.vkey"), "utf8").trim();
  const keys = [parseVerifierKey(pinned)];
  const first = openCheckpoint((await audit.getCheckpoint({})).checkpoint, keys, origin).checkpoint;
  const proof = await audit.getInclusionProof({ sequence: 7n });
  const { checkpoint } = openCheckpoint(proof.checkpoint, keys, origin);
  verifyInclusion({
    leafHash: leafHash(Buffer.from(proof.record!.leaf)),
    index: 7,
    size: checkpoint.size,
    proof: proof.hashes,
    root: checkpoint.root,
  });
  await keyrings.createKeyring({ name: unique("ring") });
  const { value: second } = await until(async () => {
    const answer = await audit.getCheckpoint({ fromSize: BigInt(first.size) });
    return Number(answer.size) > first.size ? answer : undefined;
  }, 10_000);
  const opened = openCheckpoint(second.checkpoint, keys, origin).checkpoint;
  verifyConsistency({
    first: first.size,
    second: opened.size,
    firstRoot: first.root,
    secondRoot: opened.root,
    proof: second.consistencyHashes,
  });
  expect((await refusalOf(audit.getCheckpoint({ fromSize: 10n ** 9n }))).kind).toBe("failed-precondition");
});

test("an idle installation does not make its own log grow", async () => {
  const size = async () => (await house.superuser<{ size: string }>("SELECT size FROM audit.tree"))[0]!.size;
  await until(async () => {
    const before = await size();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    return before === (await size());
  }, 30_000);
});
