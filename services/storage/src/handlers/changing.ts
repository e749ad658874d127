import type { Transaction } from "@claviger/database";
import type { Key } from "@claviger/proto/storage/v1/key_pb.ts";
import type { CallContext } from "@claviger/rpc";
import { holdsOf } from "../holds.ts";
import { requireSettledKey } from "../key-dates.ts";
import type { Registry } from "../registry.ts";
import type { KeyRow } from "../store/keys.ts";
import { keyMessage } from "./messages.ts";

/** A change of one key, locked, with its days written down before it; answers as GetKey does. */
export async function changing(
  registry: Registry,
  context: CallContext<Transaction>,
  name: string,
  how: (registry: Registry, key: KeyRow) => Promise<KeyRow>,
): Promise<Key> {
  const changed = await how(registry, await requireSettledKey(registry, name));
  context.note({ keyId: changed.id, state: changed.state });
  return keyMessage(registry, changed, await holdsOf(registry, changed));
}

export function identify(context: CallContext<Transaction>, requestId: string, requestHash: Uint8Array) {
  return { caller: context.caller.uri, requestId, requestHash };
}
