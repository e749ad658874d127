import { DomainError } from "@claviger/domain-error";
import type { LeafRange, NodeCoordinate } from "./coordinates.ts";
import {
  checkSize,
  consistencyProofRanges,
  frontierCoordinates,
  inclusionProofRanges,
  rangeCoordinates,
  rootCoordinates,
  treeSizeMax,
} from "./coordinates.ts";
import { emptyRoot, hashBytes, nodeHash } from "./hashing.ts";

/** The most leaves that one call appends. */
export const leavesMax = 65_536;

/** A complete subtree and its hash: one row in storage. */
export interface TreeNode extends NodeCoordinate {
  readonly hash: Uint8Array;
}

/** Nodes by their coordinate; made by {@link nodeMap}. */
export type NodeMap = ReadonlyMap<string, Uint8Array>;

export interface Append {
  /** Leaves in the tree before. */
  readonly size: number;
  /** At least the nodes that `frontierCoordinates(size)` names. */
  readonly frontier: NodeMap;
  /** What `leafHash` gave for each new leaf, in order; at most {@link leavesMax}. */
  readonly leafHashes: readonly Uint8Array[];
}

export interface AppendedTree {
  /** Every subtree that these leaves completed, the leaves themselves included: the rows to insert. */
  readonly newNodes: TreeNode[];
  readonly size: number;
  readonly root: Uint8Array;
}

function nodeKey({ level, index }: NodeCoordinate): string {
  return `${level}/${index}`;
}

/** Nodes as read from storage, in any order, ready for the functions below. */
export function nodeMap(nodes: Iterable<TreeNode>): NodeMap {
  const map = new Map<string, Uint8Array>();
  for (const node of nodes) {
    map.set(nodeKey(node), node.hash);
  }
  return map;
}

function nodeAt(nodes: NodeMap, coordinate: NodeCoordinate): Uint8Array {
  const found = nodes.get(nodeKey(coordinate));
  if (found?.length !== hashBytes) {
    const problem = found === undefined ? "missing" : "not a hash of 32 bytes";
    throw new DomainError("integrity", `tree node ${nodeKey(coordinate)} (level/index) is ${problem}`, {
      hint: "read every node that the coordinates function names; if storage lost one, rebuild it from the leaves",
    });
  }
  return found;
}

/** Complete subtrees, largest first, joined as RFC 6962 section 2.1 splits: the smaller tree is the right. */
function joinSubtrees(hashes: readonly Uint8Array[]): Uint8Array {
  const joined = hashes.reduceRight<Uint8Array | undefined>(
    (right, left) => (right === undefined ? left : nodeHash(left, right)),
    undefined,
  );
  return joined ?? emptyRoot();
}

function rangeHash(range: LeafRange, nodes: NodeMap): Uint8Array {
  return joinSubtrees(rangeCoordinates(range).map((coordinate) => nodeAt(nodes, coordinate)));
}

/** The root of a tree of `size` leaves, from the nodes that `rootCoordinates(size)` names. */
export function rootFrom(size: number, nodes: NodeMap): Uint8Array {
  return joinSubtrees(rootCoordinates(size).map((coordinate) => nodeAt(nodes, coordinate)));
}

/**
 * Appends leaves to a tree of which only the right edge is known. It believes that edge: whoever does not
 * trust storage compares `rootFrom(size, frontier)` with the last signed root first.
 */
export function appendLeaves({ size, frontier, leafHashes }: Append): AppendedTree {
  checkSize(size);
  if (leafHashes.length > leavesMax) {
    throw new DomainError("invalid-argument", `at most ${leavesMax} leaves are appended at once`, {
      hint: "append them in several batches",
    });
  }
  if (size + leafHashes.length > treeSizeMax) {
    throw new DomainError("exhausted", "the tree cannot hold more than 2^53 - 1 leaves");
  }
  // The right edge by level. An entry is read only where the position's bit says that it is current.
  const edge = new Map<number, Uint8Array>();
  for (const coordinate of frontierCoordinates(size)) {
    edge.set(coordinate.level, nodeAt(frontier, coordinate));
  }
  const newNodes: TreeNode[] = [];
  for (const [offset, leaf] of leafHashes.entries()) {
    if (leaf.length !== hashBytes) {
      throw new DomainError("invalid-argument", `leaf hash ${offset} of the batch is not 32 bytes`);
    }
    let node: TreeNode = { level: 0, index: size + offset, hash: leaf };
    newNodes.push(node);
    while (node.index % 2 === 1) {
      const hash = nodeHash(edge.get(node.level)!, node.hash);
      node = { level: node.level + 1, index: (node.index - 1) / 2, hash };
      newNodes.push(node);
    }
    edge.set(node.level, node.hash);
  }
  const newSize = size + leafHashes.length;
  const root = joinSubtrees(frontierCoordinates(newSize).map(({ level }) => edge.get(level)!));
  return { newNodes, size: newSize, root };
}

/**
 * The inclusion proof of leaf `index` in the tree of `size` leaves, RFC 6962 section 2.1.1, from the nodes
 * that `inclusionProofCoordinates(index, size)` names.
 */
export function inclusionProof(index: number, size: number, nodes: NodeMap): Uint8Array[] {
  return inclusionProofRanges(index, size).map((range) => rangeHash(range, nodes));
}

/**
 * The proof that the tree of `second` leaves begins with that of `first` leaves, RFC 6962 section 2.1.2,
 * from the nodes that `consistencyProofCoordinates(first, second)` names. Empty where the sizes are equal.
 */
export function consistencyProof(first: number, second: number, nodes: NodeMap): Uint8Array[] {
  return consistencyProofRanges(first, second).map((range) => rangeHash(range, nodes));
}
