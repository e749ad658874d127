import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { verifyConsistency, verifyInclusion } from "@claviger/merkle";
import { describe, expect, it } from "vitest";

// transparency-dev/merkle, testdata. Its folders subtreeinclusion and subtreeconsistency (proofs about a
// range of leaves, from a draft on Merkle tree certificates) are left out: the package has no such proofs.
const repository = resolve(import.meta.dirname, "../..");
const vectors = resolve(process.env.CLAVIGER_VECTORS ?? join(repository, "../shared/vectors"), "merkle");

interface InclusionVector {
  leafIdx: number;
  treeSize: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
}

interface ConsistencyVector {
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  proof: string[] | null;
  desc: string;
  wantErr: boolean;
}

function bytes(encoded: string): Uint8Array {
  return Buffer.from(encoded, "base64");
}

function load<Vector extends { wantErr: boolean }>(folder: string): { file: string; vector: Vector }[] {
  const directory = join(vectors, folder);
  if (!existsSync(directory)) {
    return [];
  }
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({ file, vector: JSON.parse(readFileSync(join(directory, file), "utf8")) as Vector }));
}

function tally(cases: readonly { vector: { wantErr: boolean } }[]): string {
  const refused = cases.filter(({ vector }) => vector.wantErr).length;
  return `${cases.length} files, ${cases.length - refused} to accept and ${refused} to refuse`;
}

function expectOutcome(wantErr: boolean, verify: () => void): void {
  if (wantErr) {
    expect(verify).toThrow(expect.objectContaining({ name: "DomainError", kind: "integrity" }));
  } else {
    verify();
  }
}

function checkConsistency(vector: ConsistencyVector, root: (encoded: string) => Uint8Array = bytes): void {
  verifyConsistency({
    first: vector.size1,
    second: vector.size2,
    firstRoot: root(vector.root1),
    secondRoot: root(vector.root2),
    proof: (vector.proof ?? []).map(bytes),
  });
}

const inclusionCases = load<InclusionVector>("inclusion");
const consistencyCases = load<ConsistencyVector>("consistency");

// The one file that wants roots accepted which are no hashes: a few words, the same on both sides. The
// package insists on 32 bytes, or a message without its roots would compare equal and pass.
const rootsAreNoHashes = "additional/sizes-are-equal-one-and-proof-is-empty.json";

describe.skipIf(inclusionCases.length === 0)(`inclusion vectors: ${tally(inclusionCases)}`, () => {
  it.each(inclusionCases)("$file", ({ vector }) => {
    expectOutcome(vector.wantErr, () =>
      verifyInclusion({
        leafHash: bytes(vector.leafHash),
        index: vector.leafIdx,
        size: vector.treeSize,
        proof: (vector.proof ?? []).map(bytes),
        root: bytes(vector.root),
      }),
    );
  });

  it("hold cases of both kinds", () => {
    expect(new Set(inclusionCases.map(({ vector }) => vector.wantErr)).size).toBe(2);
  });
});

describe.skipIf(consistencyCases.length === 0)(`consistency vectors: ${tally(consistencyCases)}`, () => {
  it.each(consistencyCases.filter(({ file }) => file !== rootsAreNoHashes))("$file", ({ vector }) => {
    expectOutcome(vector.wantErr, () => checkConsistency(vector));
  });

  it(`${rootsAreNoHashes}: refused for its roots' length, accepted with hashes in their place`, () => {
    const { vector } = consistencyCases.find(({ file }) => file === rootsAreNoHashes)!;
    expect(vector.wantErr).toBe(false);
    expectOutcome(true, () => checkConsistency(vector));
    checkConsistency(vector, (encoded) => createHash("sha256").update(bytes(encoded)).digest());
  });

  it("hold cases of both kinds", () => {
    expect(new Set(consistencyCases.map(({ vector }) => vector.wantErr)).size).toBe(2);
  });
});
