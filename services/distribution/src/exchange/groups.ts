import { DomainError } from "@claviger/domain-error";
import { slotOf } from "@claviger/key-ticket";
import type { SignedRequest } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { publish, type Registry } from "../registry.ts";
import { deleteMembers, insertMembers } from "../store/group-members.ts";
import {
  findGroup,
  type GenerationRow,
  groupGenerations,
  insertGroup,
  insertGroupGeneration,
  type KeyGroupRow,
  updateGroup,
} from "../store/key-groups.ts";
import type { ExchangeContext } from "./context.ts";
import { MembersTree } from "./members-tree.ts";
import { requireRecipient } from "./recipients.ts";

/** How far a member that was away can catch up. */
export const generationsKept = 1000;
const generationsAtOnce = 64;

export async function createGroup(
  shared: ExchangeContext,
  registry: Registry,
  name: string,
  signed: SignedRequest,
): Promise<KeyGroupRow> {
  const { now, sealer, tx } = registry;
  const row: KeyGroupRow = { name, generation: 1, members: 0, createdAt: now, renewedAt: now };
  if (!(await insertGroup(tx, sealer, row))) {
    throw new DomainError("already-exists", `there is a group ${name} already`);
  }
  const { next } = await shared.distribute.advanceGroup({ signed });
  await insertGroupGeneration(
    tx,
    name,
    { generation: 1, record: next!.record, mac: Buffer.from(next!.mac) },
    generationsKept,
  );
  await publish(registry, "group.created", name);
  return row;
}

export interface GroupChange {
  name: string;
  members: readonly string[];
  does: "join" | "leave";
  signed: SignedRequest;
}

/** The next generation. The generator verifies each way through the tree, and that the request is signed. */
export async function changeGroup(
  shared: ExchangeContext,
  registry: Registry,
  { does, members, name, signed }: GroupChange,
): Promise<KeyGroupRow> {
  const { now, sealer, tx } = registry;
  const group = await findGroup(tx, sealer, name, "lock");
  if (group === undefined) throw new DomainError("not-found", `there is no group ${name}`);
  const [current] = await groupGenerations(tx, name, group.generation, 1);
  const generation = group.generation + 1;
  const tree = await MembersTree.load(tx, sealer, name, members);
  const places = members.map((member) => {
    const place = tree.placeOf(member);
    tree.change(member, does === "join" ? generation : undefined);
    return place;
  });
  const { next } = await shared.distribute.advanceGroup({ signed, current: current!, places });
  await tree.save(tx, name);
  if (does === "leave") await deleteMembers(tx, name, members);
  else {
    const rows = members.map((identity) => ({ name, identity, slot: slotOf(identity), joined: generation }));
    await insertMembers(tx, sealer, rows);
  }
  const renewed: KeyGroupRow = {
    ...group,
    generation,
    members: group.members + (does === "join" ? members.length : -members.length),
    renewedAt: now,
  };
  await updateGroup(tx, sealer, renewed);
  await insertGroupGeneration(
    tx,
    name,
    { generation, record: next!.record, mac: Buffer.from(next!.mac) },
    generationsKept,
  );
  await publish(registry, "group.renewed", name, { generation });
  return renewed;
}

export interface MembersKeys {
  keys: { generation: number; ticket: string }[];
  currentGeneration: number;
  certificateChain: string;
}

/** The keys that a member has not had, oldest first; those of its own time alone. @throws DomainError `denied` */
export async function keysFor(
  shared: ExchangeContext,
  registry: Registry,
  member: string,
  name: string,
  afterGeneration: number,
): Promise<MembersKeys> {
  const { sealer, tx } = registry;
  const group = await findGroup(tx, sealer, name);
  const tree = await MembersTree.load(tx, sealer, name, [member]);
  const place = tree.placeOf(member);
  const joined = place.members.find(({ identity }) => identity === member)?.joined;
  if (group === undefined || joined === undefined) {
    // Said alike whether the group exists or not.
    throw new DomainError("denied", "this identity is not a member of such a group", {
      hint: "an administrator lets it join: claviger groups join GROUP --member IDENTITY",
    });
  }
  const currentGeneration = group.generation;
  const from = Math.max(joined, afterGeneration + 1);
  if (from > currentGeneration) return { keys: [], currentGeneration, certificateChain: "" };
  const wanted = await groupGenerations(tx, name, from, generationsAtOnce);
  if (wanted.length === 0) return { keys: [], currentGeneration, certificateChain: "" };
  const current = await currentOf(registry, group);
  const recipient = await requireRecipient(registry, member);
  const issued = await shared.distribute.issueGroupKeys({ current, place, recipient, generations: wanted });
  return {
    keys: wanted.map(({ generation }, at) => ({ generation, ticket: issued.tickets[at]! })),
    currentGeneration,
    certificateChain: await shared.chains.chainOf(registry, issued.signerVersion, member),
  };
}

async function currentOf({ tx }: Registry, { generation, name }: KeyGroupRow): Promise<GenerationRow> {
  const [current] = await groupGenerations(tx, name, generation, 1);
  if (current?.generation === generation) return current;
  throw new DomainError("integrity", `the newest generation of group ${name} is gone`);
}
