import { DomainError } from "@claviger/domain-error";
import { damaged } from "@claviger/key-ticket";
import type { PreSharedKey } from "@claviger/proto/distribution/v1/pre_shared_key_pb.ts";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { Claviger } from "../claviger.ts";
import { ownUri, signed } from "./own-identity.ts";
import { loadRecipientKeys } from "./recipient-keys.ts";
import { openSealed } from "./tickets.ts";

/** A pre-shared key as one of its two parties has it. Dispose of it, best with `using`. */
export interface FetchedPreSharedKey extends Disposable {
  key: SecretBytes;
  name: string;
  generation: number;
  /** The other party. */
  peer: string;
  self: string;
}

/** For two parties, SPIFFE URIs. @throws DomainError `failed-precondition` where one has no recipient key */
export async function createPreSharedKey(
  claviger: Claviger,
  {
    name,
    overlapSeconds = 0,
    parties,
  }: { name: string; parties: readonly string[]; overlapSeconds?: number },
): Promise<PreSharedKey> {
  const request = { name, parties: parties.toSorted(), generation: 1 };
  return create(claviger, request, overlapSeconds);
}

/** The next generation, beside the one that there is until both parties have the new one and for its overlap. */
export async function rotatePreSharedKey(claviger: Claviger, name: string): Promise<PreSharedKey> {
  const { key } = await claviger.preSharedKeys.getPreSharedKey({ name });
  const newest = key?.generations.at(-1)?.generation ?? 0;
  return create(claviger, { name, parties: key?.parties ?? [], generation: newest + 1 }, 0);
}

async function create(
  claviger: Claviger,
  request: { name: string; parties: readonly string[]; generation: number },
  overlapSeconds: number,
): Promise<PreSharedKey> {
  const answer = await claviger.preSharedKeys.createPreSharedKey({
    signed: signed(claviger, "create-psk", request),
    overlapSeconds,
  });
  if (answer.key === undefined) throw new DomainError("integrity", "the service answered without the key");
  return answer.key;
}

/**
 * A key of this party's. It comes again, sealed to the same recipient key, until `acknowledge` says that it is kept.
 * @param peer where given, the key must be shared with this party
 */
export async function fetchPreSharedKey(
  claviger: Claviger,
  { generation = 0, name, peer }: { name: string; generation?: number; peer?: string },
): Promise<FetchedPreSharedKey> {
  const answer = await claviger.preSharedKeys.fetchPreSharedKey({ name, generation });
  const { directory, trustBundle } = claviger.identity;
  const { key, statement } = await openSealed(
    { keys: loadRecipientKeys(directory), trustBundle },
    answer,
    "psk",
  );
  const self = ownUri(claviger);
  const other = statement.parties.find((party) => party !== self);
  const asked = statement.name === name && statement.generation === answer.generation;
  const between = statement.parties.includes(self) && (peer === undefined || other === peer);
  if (!asked || !between || other === undefined) {
    key[Symbol.dispose]();
    throw damaged(`it is ${statement.name}, for ${statement.parties.join(" and ")}`);
  }
  return {
    key,
    name,
    generation: answer.generation,
    peer: other,
    self,
    [Symbol.dispose]: () => key[Symbol.dispose](),
  };
}

/** The key is kept: it is never delivered to this party again. */
export async function acknowledgePreSharedKey(
  claviger: Claviger,
  { generation, name }: Pick<FetchedPreSharedKey, "name" | "generation">,
): Promise<void> {
  await claviger.preSharedKeys.acknowledgePreSharedKey({ name, generation });
}
