import { hash } from "node:crypto";

/** Length of every hash in the tree: SHA-256. */
export const hashBytes = 32;

/**
 * The hash of a leaf: SHA-256(0x00 ‖ leaf), RFC 6962 section 2.1. The prefix keeps a leaf from being
 * passed off as an inner node, and the reverse.
 */
export function leafHash(leaf: Uint8Array): Uint8Array {
  const preimage = new Uint8Array(1 + leaf.length);
  preimage.set(leaf, 1);
  return hash("sha256", preimage, "buffer");
}

// Safe to share: nodeHash is synchronous, and every byte after the first is written before each use.
const nodePreimage = new Uint8Array(1 + 2 * hashBytes);
nodePreimage[0] = 0x01;

/**
 * The hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 6962 section 2.1. Both sides are 32 bytes:
 * shorter ones would let two different pairs have one preimage, so they are our own mistake.
 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== hashBytes || right.length !== hashBytes) {
    throw new RangeError("a node's children are hashes of 32 bytes");
  }
  nodePreimage.set(left, 1);
  nodePreimage.set(right, 1 + hashBytes);
  return hash("sha256", nodePreimage, "buffer");
}

/** The root of a tree without leaves: SHA-256 of nothing, RFC 6962 section 2.1. */
export function emptyRoot(): Uint8Array {
  return hash("sha256", new Uint8Array(0), "buffer");
}

/** Whether two hashes are the same. Hashes in a public log are no secret: the time this takes may show. */
export function equalHashes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
