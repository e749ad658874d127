import type { Transaction } from "@claviger/database";
import { climb, emptyHashes, type PlacedMember, slotOf, treeDepth } from "@claviger/key-ticket";
import type { RowSealer } from "@claviger/row-seal";
import { membersInSlots, readNodes, saveNodes, type TreeNode } from "../store/group-members.ts";

export interface Place {
  members: PlacedMember[];
  siblings: Uint8Array[];
}

/**
 * The part of a group's tree that some members' ways to the root touch. It vouches for nothing: the generator
 * verifies each way against the root that it confirmed.
 */
export class MembersTree {
  readonly #nodes: Map<string, Uint8Array>;
  readonly #places: Map<number, PlacedMember[]>;
  readonly #changed = new Map<string, TreeNode>();

  private constructor(nodes: Map<string, Uint8Array>, places: Map<number, PlacedMember[]>) {
    this.#nodes = nodes;
    this.#places = places;
  }

  static async load(
    tx: Transaction,
    sealer: RowSealer,
    name: string,
    members: readonly string[],
  ): Promise<MembersTree> {
    const slots = [...new Set(members.map(slotOf))];
    const wanted = slots.flatMap((slot) =>
      Array.from({ length: treeDepth }, (_, level) => ({ level, place: (slot >>> level) ^ 1 })),
    );
    const nodes = await readNodes(tx, name, wanted);
    const places = new Map<number, PlacedMember[]>(slots.map((slot) => [slot, []]));
    for (const { identity, joined, slot } of await membersInSlots(tx, sealer, name, slots)) {
      places.get(slot)!.push({ identity, joined });
    }
    return new MembersTree(new Map(nodes.map((node) => [keyOf(node), node.hash])), places);
  }

  placeOf(member: string): Place {
    const slot = slotOf(member);
    const members = this.#places.get(slot)!.toSorted((a, b) => (a.identity < b.identity ? -1 : 1));
    const siblings = Array.from(
      { length: treeDepth },
      (_, level) => this.#nodes.get(keyOf({ level, place: (slot >>> level) ^ 1 })) ?? emptyHashes[level]!,
    );
    return { members, siblings };
  }

  /** Puts a member into its place, or takes it out. */
  change(member: string, joined: number | undefined): void {
    const slot = slotOf(member);
    const { members, siblings } = this.placeOf(member);
    const rest = members.filter(({ identity }) => identity !== member);
    const after = joined === undefined ? rest : [...rest, { identity: member, joined }];
    this.#places.set(slot, after);
    for (const [level, hash] of climb(slot, after, siblings).entries()) {
      const node = { level, place: slot >>> level, hash };
      this.#nodes.set(keyOf(node), hash);
      this.#changed.set(keyOf(node), node);
    }
  }

  async save(tx: Transaction, name: string): Promise<void> {
    await saveNodes(tx, name, [...this.#changed.values()]);
  }
}

function keyOf({ level, place }: { level: number; place: number }): string {
  return `${level} ${place}`;
}
