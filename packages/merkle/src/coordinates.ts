import { DomainError } from "@claviger/domain-error";

/** The largest tree: beyond 2^53 − 1 a number no longer counts exactly. */
export const treeSizeMax = Number.MAX_SAFE_INTEGER;

/**
 * A complete subtree: `index` counts those of 2^level leaves from the left, so it covers the leaves from
 * index × 2^level up to (index + 1) × 2^level. Once complete, its hash never changes. Level 0: the leaves.
 */
export interface NodeCoordinate {
  readonly level: number;
  readonly index: number;
}

/** Leaves `start` up to, not including, `end`. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** Refuses what cannot be the size of a tree. */
export function checkSize(size: number, what = "the tree size"): void {
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new DomainError("invalid-argument", `${what} must be a whole number from 0 to 2^53 - 1`);
  }
}

// Shifts work on 32 bits only and Math.log2 rounds near powers of two, hence the two halves.
function floorLog2(value: number): number {
  const high = Math.floor(value / 2 ** 32);
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(value);
}

/** The largest power of two below `leaves` (2 or more): where RFC 6962 section 2.1 splits a tree. */
function splitPoint(leaves: number): number {
  return 2 ** floorLog2(leaves - 1);
}

/**
 * The complete subtrees that tile a range, left to right, largest first. The range starts where a subtree
 * of its size may start, as every range that RFC 6962's recursion reaches does.
 */
export function rangeCoordinates({ start, end }: LeafRange): NodeCoordinate[] {
  const coordinates: NodeCoordinate[] = [];
  let position = start;
  while (position < end) {
    const level = floorLog2(end - position);
    const leaves = 2 ** level;
    coordinates.push({ level, index: position / leaves });
    position += leaves;
  }
  return coordinates;
}

/**
 * The nodes that must be read before leaves are appended to a tree of `size` leaves: its right edge, one
 * for each bit that is set in the size, largest subtree first. Empty for an empty tree.
 */
export function frontierCoordinates(size: number): NodeCoordinate[] {
  checkSize(size);
  return rangeCoordinates({ start: 0, end: size });
}

/** The nodes that make the root of a tree of `size` leaves: the same right edge. */
export function rootCoordinates(size: number): NodeCoordinate[] {
  return frontierCoordinates(size);
}

/**
 * The subtree behind each hash of an inclusion proof, in the proof's order: from the leaf up
 * (PATH, RFC 6962 section 2.1.1).
 */
export function inclusionProofRanges(index: number, size: number): LeafRange[] {
  checkSize(size);
  checkSize(index, "the leaf index");
  if (index >= size) {
    throw new DomainError("invalid-argument", `leaf ${index} is not in a tree of ${size} leaves`, {
      hint: "ask for a proof in a larger tree, or for an earlier leaf",
    });
  }
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = size;
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  return ranges.reverse();
}

/**
 * The subtree behind each hash of a consistency proof, in the proof's order
 * (PROOF and SUBPROOF, RFC 6962 section 2.1.2).
 */
export function consistencyProofRanges(first: number, second: number): LeafRange[] {
  checkSize(first, "the first tree size");
  checkSize(second, "the second tree size");
  if (first === 0 || first > second) {
    throw new DomainError("invalid-argument", `no consistency proof leads from size ${first} to ${second}`, {
      hint: "the first size is at least 1 and at most the second: an empty tree is a prefix of every tree",
    });
  }
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = second;
  while (first !== end) {
    const middle = start + splitPoint(end - start);
    if (first <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  // At start 0 the remaining subtree is the whole first tree, whose root the verifier holds already.
  if (start > 0) {
    ranges.push({ start, end });
  }
  return ranges.reverse();
}

/** The nodes needed for an inclusion proof of leaf `index` (from 0) in a tree of `size` leaves. */
export function inclusionProofCoordinates(index: number, size: number): NodeCoordinate[] {
  return inclusionProofRanges(index, size).flatMap(rangeCoordinates);
}

/** The nodes needed for a proof that the tree of `second` leaves extends the one of `first` leaves. */
export function consistencyProofCoordinates(first: number, second: number): NodeCoordinate[] {
  return consistencyProofRanges(first, second).flatMap(rangeCoordinates);
}
