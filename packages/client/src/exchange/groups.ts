import { DomainError } from "@claviger/domain-error";
import { damaged } from "@claviger/key-ticket";
import type { KeyGroup } from "@claviger/proto/distribution/v1/group_pb.ts";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { CallOptions } from "../call.ts";
import type { Claviger } from "../claviger.ts";
import { signed } from "./own-identity.ts";
import { loadRecipientKeys } from "./recipient-keys.ts";
import { openSealed } from "./tickets.ts";

/** A generation of a group's key. Dispose of it, best with `using`. */
export interface GroupKey extends Disposable {
  key: SecretBytes;
  group: string;
  generation: number;
}

export async function createGroup(claviger: Claviger, group: string): Promise<KeyGroup> {
  const answer = await claviger.groups.createGroup({ signed: signed(claviger, "create-group", { group }) });
  return present(answer.group);
}

/** Lets members in, all with the same next generation; at most 500 at a time. */
export async function joinGroup(
  claviger: Claviger,
  group: string,
  members: readonly string[],
): Promise<KeyGroup> {
  const answer = await claviger.groups.joinGroup({
    signed: signed(claviger, "join-group", { group, members }),
  });
  return present(answer.group);
}

/** Takes members out: they cannot have the next generation. */
export async function leaveGroup(
  claviger: Claviger,
  group: string,
  members: readonly string[],
): Promise<KeyGroup> {
  const answer = await claviger.groups.leaveGroup({
    signed: signed(claviger, "leave-group", { group, members }),
  });
  return present(answer.group);
}

/** The generations after `afterGeneration` that this member may have, oldest first; at most 64. */
export async function groupKeys(
  claviger: Claviger,
  { afterGeneration = 0, group }: { group: string; afterGeneration?: number },
): Promise<{ keys: GroupKey[]; currentGeneration: number }> {
  const answer = await claviger.groups.getGroupKeys({ name: group, afterGeneration });
  const keys: GroupKey[] = [];
  try {
    for (const sealed of answer.keys) {
      keys.push(await open(claviger, group, sealed, answer.certificateChain));
    }
  } catch (error) {
    for (const { key } of keys) key[Symbol.dispose]();
    throw error;
  }
  return { keys, currentGeneration: answer.currentGeneration };
}

/** The newest generation alone. */
export async function currentGroupKey(claviger: Claviger, group: string): Promise<GroupKey> {
  for (;;) {
    // Asked for what is after everything, the service says which is current, and makes no key.
    const { currentGeneration } = await claviger.groups.getGroupKeys({
      name: group,
      afterGeneration: 2 ** 32 - 1,
    });
    const { keys } = await groupKeys(claviger, { group, afterGeneration: currentGeneration - 1 });
    const newest = keys.pop();
    for (const older of keys) older[Symbol.dispose]();
    if (newest !== undefined) return newest;
  }
}

/**
 * Like `groupKeys`, and then each further generation as it is made. Ends when `signal` fires; throws `denied` once this
 * identity is no member any more, and `unavailable` where the stream breaks: begin again after the newest you have.
 */
export async function* watchGroupKeys(
  claviger: Claviger,
  { afterGeneration = 0, group }: { group: string; afterGeneration?: number },
  options: CallOptions = {},
): AsyncGenerator<GroupKey> {
  let newest = afterGeneration;
  for await (const message of claviger.groups.watchGroupKeys({ name: group, afterGeneration }, options)) {
    if (message.key === undefined) continue;
    const opened = await open(claviger, group, message.key, message.certificateChain);
    if (opened.generation <= newest) {
      opened[Symbol.dispose]();
      throw damaged(`generation ${opened.generation} came after ${newest}`);
    }
    newest = opened.generation;
    yield opened;
  }
}

async function open(
  { identity: { directory, trustBundle } }: Claviger,
  group: string,
  { generation, ticket }: { generation: number; ticket: string },
  certificateChain: string,
): Promise<GroupKey> {
  const opener = { keys: loadRecipientKeys(directory), trustBundle };
  const { key, statement } = await openSealed(opener, { ticket, certificateChain }, "group");
  if (statement.group !== group || statement.generation !== generation) {
    key[Symbol.dispose]();
    throw damaged(`it is generation ${statement.generation} of ${statement.group}`);
  }
  return { key, group, generation, [Symbol.dispose]: () => key[Symbol.dispose]() };
}

function present(group: KeyGroup | undefined): KeyGroup {
  if (group === undefined) throw new DomainError("integrity", "the service answered without the group");
  return group;
}
