import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { hashBytes, leafHash, nodeHash } from "@claviger/merkle";

/** 131,072 places: a change touches as many nodes in a group of ten as in the largest. */
export const treeDepth = 17;
/** Of one place: who floods one with names that fall there is refused. */
export const placeMembersMax = 32;

export interface PlacedMember {
  identity: string;
  /** The first generation whose key it has. */
  joined: number;
}

/** The place of a member: the first 17 bits of SHA-256 of its name, so that nobody can be in two. */
export function slotOf(identity: string): number {
  const digest = createHash("sha256").update(identity, "utf8").digest();
  return digest.readUInt32BE() >>> (32 - treeDepth);
}

/** The leaf of a place, its members in alphabetical order. */
export function placeHash(members: readonly PlacedMember[]): Uint8Array {
  const sorted = members.toSorted((a, b) => (a.identity < b.identity ? -1 : 1));
  const lines = sorted.map(({ identity, joined }) => `${identity}\n${joined}\n`);
  return leafHash(Buffer.from(`claviger/group-place/v1\n${lines.join("")}`, "utf8"));
}

/** The hash of a node under which nobody is, by its level: 0 is a leaf. */
export const emptyHashes: readonly Uint8Array[] = (() => {
  const hashes = [placeHash([])];
  while (hashes.length <= treeDepth) hashes.push(nodeHash(hashes.at(-1)!, hashes.at(-1)!));
  return hashes;
})();

export const emptyGroupRoot = emptyHashes[treeDepth]!;

/**
 * The hashes on the way from a place to the root, the root last.
 * @param siblings the other child at each level, from the leaf on
 * @throws DomainError `invalid-argument` where these are no siblings
 */
export function climb(
  slot: number,
  members: readonly PlacedMember[],
  siblings: readonly Uint8Array[],
): Uint8Array[] {
  if (siblings.length !== treeDepth || siblings.some((hash) => hash.length !== hashBytes)) {
    throw new DomainError("invalid-argument", "this is no way through a group's tree");
  }
  const way = [placeHash(members)];
  siblings.forEach((sibling, level) => {
    const below = way.at(-1)!;
    way.push((slot >>> level) & 1 ? nodeHash(sibling, below) : nodeHash(below, sibling));
  });
  return way;
}
