import { DomainError } from "@claviger/domain-error";
import {
  type BoundRecord,
  climb,
  emptyGroupRoot,
  type GroupRecord,
  groupKeyInput,
  keyDigest,
  type PlacedMember,
  placeMembersMax,
  sealTicket,
  slotOf,
} from "@claviger/key-ticket";
import type {
  AdvanceGroupRequest,
  GroupPlace,
  IssueGroupKeysRequest,
} from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import { SecretBytes } from "@claviger/secret-bytes";
import { listField, textField, type VerifiedRequest } from "@claviger/signed-request";
import type { MixedRandom } from "../key-material.ts";
import type { KeyStore } from "../key-store.ts";
import type { BoundRecords } from "./bound-records.ts";
import type { RequestDesk } from "./requests.ts";
import { requireSystemKey, type TicketSigner } from "./ticket-signer.ts";

export const groupKey = "system/session-groups";
const generationsMax = 64;
export const changesMax = 500;
const nonceBytes = 16;

export interface GroupKeysOptions {
  desk: RequestDesk;
  records: BoundRecords;
  signer: TicketSigner;
  keyStore: KeyStore;
  random: MixedRandom;
  now: () => Date;
}

/**
 * A group's key is derived in the HSM from the record of its generation, which holds the root of its members' tree.
 * So nobody has to be told of a change but by asking, and a change costs a way through the tree, however large
 * the group is. Who is in a group is decided here, by the signed requests; distribution only keeps it.
 */
export class GroupKeys {
  readonly #options: GroupKeysOptions;

  constructor(options: GroupKeysOptions) {
    this.#options = options;
  }

  async create({ places, signed }: AdvanceGroupRequest): Promise<BoundRecord> {
    const { desk, records } = this.#options;
    const asked = await desk.open(signed, "create-group");
    await desk.requireRight(asked, "exchange.manage", "*");
    if (places.length > 0) throw new DomainError("invalid-argument", "a new group has no members yet");
    return records.bind({
      v: 1,
      kind: "group",
      group: textField(asked.fields, "group"),
      id: await this.#nonce(),
      generation: 1,
      root: Buffer.from(emptyGroupRoot).toString("base64"),
      nonce: await this.#nonce(),
      madeAt: this.#options.now().toISOString(),
    });
  }

  async change(request: AdvanceGroupRequest, does: "join-group" | "leave-group"): Promise<BoundRecord> {
    const { desk, now, records } = this.#options;
    const asked = await desk.open(request.signed, does);
    const current = await records.open(request.current, "group");
    const members = listField(asked.fields, "members");
    await this.#requireRight(asked, does, members);
    if (textField(asked.fields, "group") !== current.group) {
      throw new DomainError("denied", "the request is about another group");
    }
    if (members.length === 0 || members.length > changesMax || request.places.length !== members.length) {
      throw new DomainError("invalid-argument", `1 to ${changesMax} members change at a time`);
    }
    const generation = current.generation + 1;
    let root: Uint8Array = Buffer.from(current.root, "base64");
    for (const [at, member] of members.entries()) {
      const place = request.places[at]!;
      requireRoot(member, place, root);
      const rest = place.members.filter(({ identity }) => identity !== member);
      const after = does === "leave-group" ? rest : [...rest, { identity: member, joined: generation }];
      refuseNoChange(does, member, place, after);
      root = climb(slotOf(member), after, place.siblings).at(-1)!;
    }
    return records.bind({
      ...current,
      generation,
      root: Buffer.from(root).toString("base64"),
      nonce: await this.#nonce(),
      madeAt: now().toISOString(),
    });
  }

  /** Whoever may manage groups; and who leaves by itself. */
  async #requireRight(asked: VerifiedRequest, does: string, members: readonly string[]): Promise<void> {
    const alone = members.length === 1 && members[0] === asked.identity.uri;
    if (does === "leave-group" && alone) return;
    await this.#options.desk.requireRight(asked, "exchange.manage", "*");
  }

  async issue(request: IssueGroupKeysRequest): Promise<{ tickets: string[]; signerVersion: number }> {
    const { desk, records, signer } = this.#options;
    const { generations, place } = request;
    if (generations.length === 0 || generations.length > generationsMax) {
      throw new DomainError("invalid-argument", `1 to ${generationsMax} generations are asked for at a time`);
    }
    const current = await records.open(request.current, "group");
    const recipient = await desk.recipient(request.recipient);
    if (place === undefined) throw new DomainError("invalid-argument", "the request names no place");
    requireRoot(recipient.identity, place, Buffer.from(current.root, "base64"));
    const member = place.members.find(({ identity }) => identity === recipient.identity);
    if (member === undefined)
      throw new DomainError("denied", `${recipient.identity} is not a member of the group`);
    const tickets = [];
    let signerVersion = 0;
    for (const bound of generations) {
      const record = await records.open(bound, "group");
      refuseOthers(record, current, member);
      using key = await this.#derive(bound.record);
      const signed = await signer.sign(statementOf(record, keyDigest(key)));
      signerVersion = signed.signerVersion;
      tickets.push(await sealTicket(recipient.key, signed.jws, key));
    }
    return { tickets, signerVersion };
  }

  async #derive(record: string): Promise<SecretBytes> {
    const key = await requireSystemKey(this.#options.keyStore, groupKey, "mac");
    return SecretBytes.take(await key.use((mechanism) => mechanism.mac!(groupKeyInput(record))));
  }

  async #nonce(): Promise<string> {
    using nonce = await this.#options.random(nonceBytes);
    return Buffer.from(nonce.expose()).toString("base64");
  }
}

function statementOf({ generation, group, madeAt, nonce }: GroupRecord, digest: string) {
  return {
    v: 1,
    kind: "group",
    algorithm: "hkdf-sha256",
    group,
    generation,
    nonce,
    notBefore: madeAt,
    keyDigest: digest,
  } as const;
}

/** A member has what was made since it joined, and nothing of other groups. */
function refuseOthers(record: GroupRecord, current: GroupRecord, member: PlacedMember): void {
  const same = record.id === current.id && record.group === current.group;
  if (same && record.generation >= member.joined && record.generation <= current.generation) return;
  throw new DomainError("denied", `${member.identity} has no part in generation ${record.generation}`);
}

function requireRoot(member: string, place: GroupPlace, root: Uint8Array): void {
  if (Buffer.compare(climb(slotOf(member), place.members, place.siblings).at(-1)!, root) === 0) return;
  throw new DomainError("integrity", "the members of the group are not those that the generator confirmed", {
    hint: "they were changed outside Claviger: restore the database, or make the group anew",
  });
}

function refuseNoChange(
  does: string,
  member: string,
  place: GroupPlace,
  after: readonly PlacedMember[],
): void {
  const present = place.members.some(({ identity }) => identity === member);
  if (does === "join-group" && present)
    throw new DomainError("already-exists", `${member} is a member already`);
  if (does === "leave-group" && !present) throw new DomainError("not-found", `${member} is not a member`);
  if (after.length > placeMembersMax) {
    throw new DomainError("exhausted", "too many members of the group fall into one place of its tree");
  }
}
