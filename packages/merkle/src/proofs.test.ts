import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { leafHash } from "./hashing.ts";
import type { ConsistencyClaim, InclusionClaim } from "./proofs.ts";
import { proofHashesMax, verifyConsistency, verifyInclusion } from "./proofs.ts";
import { referenceRoot } from "./reference-tree.ts";
import { appendLeaves, consistencyProof, inclusionProof, nodeMap } from "./tree.ts";

const leaves = Array.from({ length: 300 }, (_, index) => leafHash(Buffer.from(`leaf ${index}`)));
const roots = leaves.map((_, index) => referenceRoot(leaves.slice(0, index + 1)));
const nodes = nodeMap(appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: leaves }).newNodes);
const integrity = expect.objectContaining({ name: "DomainError", kind: "integrity" });

function inclusion(index: number, size: number): InclusionClaim {
  const proof = inclusionProof(index, size, nodes);
  return { leafHash: leaves[index]!, index, size, proof, root: roots[size - 1]! };
}

function consistency(first: number, second: number): ConsistencyClaim {
  const proof = consistencyProof(first, second, nodes);
  return { first, second, firstRoot: roots[first - 1]!, secondRoot: roots[second - 1]!, proof };
}

function flipBit(hashes: readonly Uint8Array[], bit: number): Uint8Array[] {
  const copies = hashes.map((hash) => Uint8Array.from(hash));
  const byte = copies[Math.floor(bit / 256)]!;
  const at = Math.floor((bit % 256) / 8);
  byte[at] = byte[at]! ^ (1 << (bit % 8));
  return copies;
}

/** Proofs that differ from the right one by a missing, added, doubled or swapped hash. */
function misshapen(proof: readonly Uint8Array[]): Uint8Array[][] {
  const extra = leaves[299]!;
  const shapes = [
    [...proof, extra],
    [extra, ...proof],
    [...proof, ...proof, extra],
  ];
  if (proof.length > 0) {
    shapes.push(proof.slice(1), proof.slice(0, -1));
  }
  if (proof.length > 1) {
    shapes.push([...proof].reverse());
  }
  return shapes;
}

const orderedSizes = fc
  .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 300 }))
  .map(([one, other]) => (one < other ? ([one, other] as const) : ([other, one] as const)));

describe("verifyInclusion", () => {
  it("accepts every leaf of every tree up to 64 leaves, and refuses it as any other leaf", () => {
    for (let size = 1; size <= 64; size++) {
      for (let index = 0; index < size; index++) {
        const claim = inclusion(index, size);
        verifyInclusion(claim);
        expect(() => verifyInclusion({ ...claim, index: (index + 1) % (size + 1) })).toThrow(integrity);
        expect(() => verifyInclusion({ ...claim, leafHash: leaves[index + 1]! })).toThrow(integrity);
      }
    }
  });

  it("refuses a proof, leaf or root with any one bit changed", () => {
    const claim = inclusion(9, 13);
    const parts = [claim.leafHash, claim.root, ...claim.proof];
    for (let bit = 0; bit < parts.length * 256; bit++) {
      const [leaf, root, ...proof] = flipBit(parts, bit);
      expect(() => verifyInclusion({ ...claim, leafHash: leaf!, root: root!, proof })).toThrow(integrity);
    }
    fc.assert(
      fc.property(orderedSizes, fc.nat(), ([low, size], seed) => {
        const good = inclusion(low - 1, size);
        verifyInclusion(good);
        if (good.proof.length > 0) {
          const proof = flipBit(good.proof, seed % (good.proof.length * 256));
          expect(() => verifyInclusion({ ...good, proof })).toThrow(integrity);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("refuses a proof with a hash missing, added or out of place", () => {
    for (const [index, size] of [
      [0, 1],
      [0, 8],
      [6, 7],
      [4, 5],
      [200, 300],
    ] as const) {
      for (const proof of misshapen(inclusion(index, size).proof)) {
        expect(() => verifyInclusion({ ...inclusion(index, size), proof })).toThrow(integrity);
      }
    }
  });

  it("refuses a proof that ends in a smaller tree than the size claims", () => {
    expect(() => verifyInclusion({ ...inclusion(0, 4), size: 8 })).toThrow(integrity);
    expect(() => verifyInclusion({ ...inclusion(0, 1), size: 2 })).toThrow(integrity);
  });

  it("refuses a proof that goes on past the tree that the size claims", () => {
    expect(() => verifyInclusion({ ...inclusion(1, 2), index: 0, size: 1 })).toThrow(integrity);
  });

  it("refuses what is no index, size, hash or bounded proof, as a failed proof", () => {
    const good = inclusion(3, 8);
    const bad: Partial<InclusionClaim>[] = [
      { index: 8 },
      { index: -1 },
      { index: 3.5 },
      { index: 2 ** 64 },
      { size: 0 },
      { size: 2 ** 53 },
      { leafHash: new Uint8Array(0) },
      { root: new Uint8Array(33) },
      { proof: [new Uint8Array(31), ...good.proof.slice(1)] },
      { proof: new Array(proofHashesMax + 1).fill(leaves[0]) },
    ];
    for (const change of bad) {
      expect(() => verifyInclusion({ ...good, ...change })).toThrow(integrity);
    }
  });
});

describe("verifyConsistency", () => {
  it("accepts every pair of sizes up to 64, and refuses it with another tree's root", () => {
    for (let second = 1; second <= 64; second++) {
      for (let first = 1; first <= second; first++) {
        const claim = consistency(first, second);
        verifyConsistency(claim);
        expect(() => verifyConsistency({ ...claim, firstRoot: roots[first]! })).toThrow(integrity);
        expect(() => verifyConsistency({ ...claim, secondRoot: roots[second]! })).toThrow(integrity);
      }
    }
  });

  it("refuses a proof or root with any one bit changed", () => {
    for (const [first, second] of [
      [6, 13],
      [8, 13],
    ] as const) {
      const claim = consistency(first, second);
      const parts = [claim.firstRoot, claim.secondRoot, ...claim.proof];
      for (let bit = 0; bit < parts.length * 256; bit++) {
        const [firstRoot, secondRoot, ...proof] = flipBit(parts, bit);
        const changed = { first, second, firstRoot: firstRoot!, secondRoot: secondRoot!, proof };
        expect(() => verifyConsistency(changed)).toThrow(integrity);
      }
    }
    fc.assert(
      fc.property(orderedSizes, fc.nat(), ([first, second], seed) => {
        const good = consistency(first, second);
        verifyConsistency(good);
        if (good.proof.length > 0) {
          const proof = flipBit(good.proof, seed % (good.proof.length * 256));
          expect(() => verifyConsistency({ ...good, proof })).toThrow(integrity);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("refuses a log that changed, removed or reordered a leaf after the first tree", () => {
    const rewritten = leaves.slice(0, 20);
    rewritten[4] = leaves[5]!;
    rewritten[5] = leaves[4]!;
    const forged = nodeMap(appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: rewritten }).newNodes);
    const secondRoot = referenceRoot(rewritten);
    for (let first = 5; first <= 20; first++) {
      const proof = consistencyProof(first, 20, forged);
      const claim = { first, second: 20, firstRoot: roots[first - 1]!, secondRoot, proof };
      expect(() => verifyConsistency(claim)).toThrow(integrity);
    }
  });

  it("refuses a proof with a hash missing, added or out of place", () => {
    for (const [first, second] of [
      [1, 1],
      [1, 2],
      [4, 8],
      [6, 7],
      [7, 300],
    ] as const) {
      for (const proof of misshapen(consistency(first, second).proof)) {
        expect(() => verifyConsistency({ ...consistency(first, second), proof })).toThrow(integrity);
      }
    }
  });

  it("refuses a proof that ends in a smaller tree than the second size claims", () => {
    expect(() => verifyConsistency({ ...consistency(3, 4), second: 8 })).toThrow(integrity);
    expect(() => verifyConsistency({ ...consistency(2, 4), second: 8 })).toThrow(integrity);
  });

  it("refuses what is no size, root or bounded proof, as a failed proof", () => {
    const good = consistency(3, 8);
    const empty = new Uint8Array(0);
    const bad: Partial<ConsistencyClaim>[] = [
      { first: 0 },
      { first: 9 },
      { first: -3 },
      { first: 2.5 },
      { second: 2 ** 53 },
      { firstRoot: empty },
      { secondRoot: new Uint8Array(33) },
      { proof: [] },
      { proof: new Array(proofHashesMax + 1).fill(leaves[0]) },
      // What a message with its byte fields left out would look like.
      { first: 8, firstRoot: empty, secondRoot: empty, proof: [] },
    ];
    for (const change of bad) {
      expect(() => verifyConsistency({ ...good, ...change })).toThrow(integrity);
    }
  });
});
