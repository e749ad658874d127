import { DomainError } from "@claviger/domain-error";
import { equalHashes, hashBytes, nodeHash } from "./hashing.ts";

/** The most hashes that a proof may have; a tree of 2^53 − 1 leaves needs 53, or 54 for consistency. */
export const proofHashesMax = 64;

export interface InclusionClaim {
  /** What `leafHash` gives for the leaf. */
  readonly leafHash: Uint8Array;
  /** Position of the leaf, from 0. */
  readonly index: number;
  /** Leaves in the tree whose root is `root`. */
  readonly size: number;
  readonly proof: readonly Uint8Array[];
  /** The root as a verified checkpoint has it. */
  readonly root: Uint8Array;
}

export interface ConsistencyClaim {
  /** Leaves in the older tree, at least 1. */
  readonly first: number;
  /** Leaves in the newer tree. */
  readonly second: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

// Everything that is wrong here is "integrity", malformed input too: a claim comes from whoever is being
// checked, and must not choose between "tampered with" and "typed wrongly".
function failure(message: string): DomainError {
  return new DomainError("integrity", message, {
    hint: "treat the log as suspect: keep both roots and the proof as evidence",
  });
}

function requireHashes(hashes: readonly Uint8Array[]): void {
  if (hashes.some((hash) => hash.length !== hashBytes)) {
    throw failure("the proof fails: each hash and root is 32 bytes");
  }
}

function requireBounded(proof: readonly Uint8Array[]): void {
  if (proof.length > proofHashesMax) {
    throw failure(`the proof fails: it has more than ${proofHashesMax} hashes`);
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

// Bit operators would cut numbers to 32 bits.
function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function half(value: number): number {
  return Math.floor(value / 2);
}

/**
 * A position on its way from a node up to the root: `node` is the number of the node at the present level,
 * `last` that of the level's last node (fn and sn of RFC 9162).
 */
interface Ascent {
  node: number;
  last: number;
}

/**
 * Takes one hash of the proof and moves up. Says on which side the hash stands: the rule that inclusion
 * (RFC 9162 section 2.1.3.2, step 4) and consistency (section 2.1.4.2, step 6) share.
 */
function ascend(ascent: Ascent): "left" | "right" {
  if (ascent.last === 0) {
    throw failure("the proof fails: it is longer than the tree is high");
  }
  let side: "left" | "right" = "right";
  if (isOdd(ascent.node) || ascent.node === ascent.last) {
    side = "left";
    // A last node without a sibling rises unchanged until it has one on its left.
    while (!isOdd(ascent.node) && ascent.node !== 0) {
      ascent.node = half(ascent.node);
      ascent.last = half(ascent.last);
    }
  }
  ascent.node = half(ascent.node);
  ascent.last = half(ascent.last);
  return side;
}

/**
 * Checks that a leaf stands at `index` in the tree of `size` leaves with this root, by the algorithm of
 * RFC 9162 section 2.1.3.2.
 *
 * @throws DomainError of kind `integrity`, whatever is wrong.
 */
export function verifyInclusion({ leafHash, index, size, proof, root }: InclusionClaim): void {
  requireBounded(proof);
  requireHashes([leafHash, root, ...proof]);
  if (!isCount(index) || !isCount(size) || index >= size) {
    throw failure("the inclusion proof fails: the tree has no such leaf");
  }
  const ascent: Ascent = { node: index, last: size - 1 };
  let computed = leafHash;
  for (const sibling of proof) {
    computed = ascend(ascent) === "left" ? nodeHash(sibling, computed) : nodeHash(computed, sibling);
  }
  if (ascent.last !== 0) {
    throw failure("the inclusion proof fails: it is shorter than the tree is high");
  }
  if (!equalHashes(computed, root)) {
    throw failure("the inclusion proof fails: it leads to another root");
  }
}

/**
 * Checks that the tree of `second` leaves begins with the tree of `first` leaves, by the algorithm of
 * RFC 9162 section 2.1.4.2. Equal sizes need equal roots and an empty proof. A first size of 0 is refused:
 * every tree begins with the empty one, so that nothing would have been proved.
 *
 * @throws DomainError of kind `integrity`, whatever is wrong.
 */
export function verifyConsistency({ first, second, firstRoot, secondRoot, proof }: ConsistencyClaim): void {
  requireBounded(proof);
  requireHashes([firstRoot, secondRoot, ...proof]);
  if (!isCount(first) || !isCount(second) || first === 0 || first > second) {
    throw failure("the consistency proof fails: the first size is at least 1 and at most the second");
  }
  if (first === second) {
    if (proof.length !== 0 || !equalHashes(firstRoot, secondRoot)) {
      throw failure("the consistency proof fails: trees of one size have one root and an empty proof");
    }
    return;
  }
  const ascent: Ascent = { node: first - 1, last: second - 1 };
  while (isOdd(ascent.node)) {
    ascent.node = half(ascent.node);
    ascent.last = half(ascent.last);
  }
  // Step 2: where the first tree is one complete subtree (its size a power of two, so that the ascent came
  // to node 0), the proof leaves its root out, since the verifier has it.
  const path = ascent.node === 0 ? [firstRoot, ...proof] : proof;
  const [seed, ...rest] = path;
  if (seed === undefined || proof.length === 0) {
    throw failure("the consistency proof fails: it is empty though the sizes differ");
  }
  let computedFirst = seed;
  let computedSecond = seed;
  for (const sibling of rest) {
    if (ascend(ascent) === "left") {
      computedFirst = nodeHash(sibling, computedFirst);
      computedSecond = nodeHash(sibling, computedSecond);
    } else {
      computedSecond = nodeHash(computedSecond, sibling);
    }
  }
  if (ascent.last !== 0) {
    throw failure("the consistency proof fails: it is shorter than the tree is high");
  }
  if (!equalHashes(computedFirst, firstRoot) || !equalHashes(computedSecond, secondRoot)) {
    throw failure("the consistency proof fails: it leads to other roots");
  }
}
