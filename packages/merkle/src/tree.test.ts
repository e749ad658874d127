import { isDomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  consistencyProofCoordinates,
  frontierCoordinates,
  inclusionProofCoordinates,
  rootCoordinates,
  treeSizeMax,
} from "./coordinates.ts";
import { emptyRoot, leafHash } from "./hashing.ts";
import { referencePath, referenceRoot, referenceSubproof } from "./reference-tree.ts";
import type { NodeMap, TreeNode } from "./tree.ts";
import { appendLeaves, consistencyProof, inclusionProof, leavesMax, nodeMap, rootFrom } from "./tree.ts";

const leavesCount = 300;
const leaves = Array.from({ length: leavesCount }, (_, index) => leafHash(Buffer.from(`leaf ${index}`)));
const whole = appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: leaves });
const rows = new Map(whole.newNodes.map((node) => [`${node.level}/${node.index}`, node]));

/** Only what was asked for, as a query would return it: no function can lean on a node it did not name. */
function read(coordinates: readonly { level: number; index: number }[]): NodeMap {
  return nodeMap(coordinates.map(({ level, index }) => rows.get(`${level}/${index}`)!));
}

function hex(hashes: readonly Uint8Array[]): string[] {
  return hashes.map((hash) => Buffer.from(hash).toString("hex"));
}

function refusal(kind: string): unknown {
  return expect.objectContaining({ name: "DomainError", kind });
}

// The leaves of certificate-transparency's test tree, and the root after each.
const knownLeaves = [
  "",
  "00",
  "10",
  "2021",
  "3031",
  "40414243",
  "5051525354555657",
  "606162636465666768696a6b6c6d6e6f",
];
const knownRoots = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

describe("roots", () => {
  it("are those of certificate-transparency's test tree", () => {
    const leafHashes = knownLeaves.map((leaf) => leafHash(Buffer.from(leaf, "hex")));
    const roots = leafHashes.map(
      (_, index) =>
        appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: leafHashes.slice(0, index + 1) }).root,
    );
    expect(hex(roots)).toEqual(knownRoots);
  });

  it("of an empty tree are SHA-256 of nothing", () => {
    const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    expect(hex([emptyRoot(), rootFrom(0, nodeMap([]))])).toEqual([nothing, nothing]);
    expect(appendLeaves({ size: 0, frontier: nodeMap([]), leafHashes: [] })).toEqual({
      newNodes: [],
      size: 0,
      root: emptyRoot(),
    });
  });

  it("at every size up to 300 are what RFC 6962's recursion gives, from the named nodes alone", () => {
    for (let size = 0; size <= leavesCount; size++) {
      expect(hex([rootFrom(size, read(rootCoordinates(size)))])).toEqual(
        hex([referenceRoot(leaves.slice(0, size))]),
      );
    }
  });
});

describe("appending", () => {
  it("in any split into batches gives the same nodes and root, from the frontier alone", () => {
    const batches = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 30 });
    fc.assert(
      fc.property(batches, (lengths) => {
        const nodes = new Map<string, TreeNode>();
        let size = 0;
        let root = emptyRoot();
        for (const length of lengths) {
          const frontier = nodeMap(
            frontierCoordinates(size).map(({ level, index }) => nodes.get(`${level}/${index}`)!),
          );
          const appended = appendLeaves({
            size,
            frontier,
            leafHashes: leaves.slice(size, size + length),
          });
          for (const node of appended.newNodes) {
            expect(nodes.has(`${node.level}/${node.index}`)).toBe(false);
            nodes.set(`${node.level}/${node.index}`, node);
          }
          size = appended.size;
          root = appended.root;
        }
        const once = appendLeaves({
          size: 0,
          frontier: nodeMap([]),
          leafHashes: leaves.slice(0, size),
        });
        expect([...nodes.values()]).toEqual(once.newNodes);
        expect(hex([root])).toEqual(hex([once.root]));
      }),
      { numRuns: 60 },
    );
  });

  it("adds 2n - (bits set in n) nodes for n leaves: each leaf, and each subtree it completes, once", () => {
    const bits = leavesCount.toString(2).replaceAll("0", "").length;
    expect(rows.size).toBe(2 * leavesCount - bits);
    expect(whole.newNodes).toHaveLength(rows.size);
  });

  it("refuses a missing or damaged frontier as a loss of integrity", () => {
    expect(() => appendLeaves({ size: 5, frontier: read([{ level: 2, index: 0 }]), leafHashes: [] })).toThrow(
      refusal("integrity"),
    );
    const short = nodeMap([{ level: 0, index: 0, hash: new Uint8Array(31) }]);
    expect(() => rootFrom(1, short)).toThrow(refusal("integrity"));
  });

  it("refuses leaf hashes of another length, batches past the limit and trees past 2^53 - 1", () => {
    const append = (size: number, leafHashes: Uint8Array[]) =>
      appendLeaves({ size, frontier: nodeMap([]), leafHashes });
    expect(() => append(0, [new Uint8Array(20)])).toThrow(refusal("invalid-argument"));
    expect(() => append(0, new Array(leavesMax + 1).fill(leaves[0]))).toThrow(refusal("invalid-argument"));
    expect(() => append(treeSizeMax, [leaves[0]!])).toThrow(refusal("exhausted"));
  });

  it("counts exactly next to 2^53", () => {
    const frontier = nodeMap(
      frontierCoordinates(treeSizeMax - 1).map((coordinate) => ({ ...coordinate, hash: leaves[0]! })),
    );
    const { newNodes, size } = appendLeaves({
      size: treeSizeMax - 1,
      frontier,
      leafHashes: [leaves[1]!],
    });
    expect(size).toBe(treeSizeMax);
    expect(newNodes.map(({ level, index }) => [level, index])).toEqual([[0, treeSizeMax - 1]]);
  });
});

describe("coordinates", () => {
  it("grow with the logarithm of the size", () => {
    expect(frontierCoordinates(treeSizeMax)).toHaveLength(53);
    expect(frontierCoordinates(2 ** 52)).toEqual([{ level: 52, index: 0 }]);
    const sizes = fc.integer({ min: 1, max: treeSizeMax });
    fc.assert(
      fc.property(sizes, sizes, (one, other) => {
        const [low, high] = one < other ? [one, other] : [other, one];
        expect(inclusionProofCoordinates(low - 1, high).length).toBeLessThanOrEqual(105);
        expect(consistencyProofCoordinates(low, high).length).toBeLessThanOrEqual(106);
        for (const { level, index } of [
          ...inclusionProofCoordinates(low - 1, high),
          ...consistencyProofCoordinates(low, high),
        ]) {
          expect(Number.isSafeInteger(index)).toBe(true);
          // Complete in the tree: compared as BigInt, as the product may pass 2^53.
          expect((BigInt(index) + 1n) * 2n ** BigInt(level) <= BigInt(high)).toBe(true);
        }
      }),
    );
  });

  it("refuse sizes and indexes that no tree has", () => {
    const refused = [
      () => frontierCoordinates(-1),
      () => frontierCoordinates(1.5),
      () => frontierCoordinates(2 ** 53),
      () => rootCoordinates(Number.NaN),
      () => inclusionProofCoordinates(0, 0),
      () => inclusionProofCoordinates(5, 5),
      () => inclusionProofCoordinates(-1, 5),
      () => consistencyProofCoordinates(0, 5),
      () => consistencyProofCoordinates(6, 5),
      () => consistencyProofCoordinates(1, Number.POSITIVE_INFINITY),
    ];
    for (const call of refused) {
      expect(call).toThrow(refusal("invalid-argument"));
    }
  });
});

describe("proofs for all pairs of sizes up to 64", () => {
  it("of inclusion are what RFC 6962 section 2.1.1 gives, from the named nodes alone", () => {
    for (let size = 1; size <= 64; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, read(inclusionProofCoordinates(index, size)));
        expect(hex(proof)).toEqual(hex(referencePath(index, leaves.slice(0, size))));
      }
    }
  });

  it("of consistency are what RFC 6962 section 2.1.2 gives, from the named nodes alone", () => {
    for (let second = 1; second <= 64; second++) {
      for (let first = 1; first <= second; first++) {
        const proof = consistencyProof(first, second, read(consistencyProofCoordinates(first, second)));
        expect(hex(proof)).toEqual(hex(referenceSubproof(first, leaves.slice(0, second))));
      }
    }
  });

  it("fail as a loss of integrity where storage lacks a node", () => {
    const attempts = [
      () => inclusionProof(3, 7, nodeMap([])),
      () => consistencyProof(3, 7, read([{ level: 1, index: 0 }])),
    ];
    for (const attempt of attempts) {
      expect(attempt).toThrow(expect.toSatisfy((error: unknown) => isDomainError(error, "integrity")));
    }
  });
});
