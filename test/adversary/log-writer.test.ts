import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commitment } from "@claviger/audit-record";
import { leafHash, openCheckpoint, parseVerifierKey, verifyInclusion } from "@claviger/merkle";
import { expect, test } from "vitest";
import { until, useInstallation } from "../harness/installation.ts";
import { refusalOf } from "../harness/refusal.ts";
import { expectCalmServices, freshKey } from "./attacker.ts";

const house = useInstallation();
expectCalmServices(house);
const { audit, cryptography } = house.claviger;

/** A record of something that the attacker would rather not have done; resolves to its place in the log. */
async function recordedRefusal(): Promise<number> {
  const name = await freshKey(house);
  await refusalOf(cryptography.sign({ name, message: Buffer.from("m") }));
  const { value } = await until(
    async () => (await audit.searchRecords({ resource: name, method: "Sign" })).records[0],
    10_000,
  );
  return Number(value.sequence);
}

/** What whoever holds the log's public key alone makes of a record. */
async function verdict(sequence: number): Promise<string> {
  const key = parseVerifierKey(readFileSync(join(house.layout.trust.directory, "audit.vkey"), "utf8").trim());
  try {
    const {
      checkpoint: note,
      hashes,
      record,
    } = await audit.getInclusionProof({ sequence: BigInt(sequence) });
    const { checkpoint } = openCheckpoint(note, [key], `${house.trustDomain}/audit`);
    verifyInclusion({
      leafHash: leafHash(Buffer.from(record!.leaf)),
      index: sequence,
      size: checkpoint.size,
      proof: hashes,
      root: checkpoint.root,
    });
    const { personalHash } = JSON.parse(record!.leaf) as { personalHash: string };
    return personalHash === commitment(record!.personal, record!.salt) ? "proved" : "another person";
  } catch (error) {
    return (error as { kind: string }).kind;
  }
}

test.each([
  ["its outcome", `leaf = replace(leaf, '"outcome":"failed"', '"outcome":"allowed"')`, "integrity"],
  ["one space", "leaf = leaf || ' '", "integrity"],
  ["who did it", `personal = replace(personal, 'administrator', 'somebody-else')`, "another person"],
  ["its salt", "salt = decode(repeat('00', 16), 'hex')", "another person"],
])(
  "a record of the log of which %s was changed in the database does not prove itself",
  async (_, change, expected) => {
    const sequence = await recordedRefusal();
    expect(await verdict(sequence)).toBe("proved");
    const [before] = await house.superuser<{ leaf: string; personal: string; salt: Buffer }>(
      "select leaf, personal, salt from audit.records where sequence = $1",
      [sequence],
    );
    await house.superuser(`update audit.records set ${change} where sequence = $1`, [sequence]);
    try {
      expect(await verdict(sequence)).toBe(expected);
    } finally {
      await house.superuser(
        "update audit.records set leaf = $2, personal = $3, salt = $4 where sequence = $1",
        [sequence, before!.leaf, before!.personal, before!.salt],
      );
    }
    expect(await verdict(sequence)).toBe("proved");
  },
);

test("the audit service's own role neither changes nor deletes a record, a node or a checkpoint", async () => {
  const rows = await house.superuser<{ table_name: string; privilege_type: string }>(
    `select table_name, privilege_type from information_schema.role_table_grants
     where grantee = 'audit' and table_name in ('records', 'nodes', 'checkpoints')`,
  );
  expect(new Set(rows.map(({ privilege_type }) => privilege_type))).toEqual(new Set(["SELECT", "INSERT"]));
});

test("no service's role of the database reaches another service's schema", async () => {
  const rows = await house.superuser(
    `select grantee, table_schema, table_name from information_schema.role_table_grants
     where grantee in ('storage', 'distribution', 'rotation', 'audit') and grantee <> table_schema`,
  );
  expect(rows).toEqual([]);
});
