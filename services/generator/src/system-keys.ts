import type { Client } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import { ticketKey } from "@claviger/key-ticket";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { groupKey } from "./distribution/group-keys.ts";
import { attestationKey } from "./generation-record.ts";
import type { KeyMaker } from "./key-maker.ts";
import type { KeyringKeys } from "./keyring-keys.ts";

export interface SystemKeysOptions {
  keyringKeys: KeyringKeys;
  keyMaker: KeyMaker;
  registry: Client<typeof KeyService>;
  /** The generator's own identity. */
  caller: string;
  warn: (what: string) => void;
}

const retryMilliseconds = 500;
const systemKeyring = "system";

/** The keyring of Claviger's own keys, and those of them that the generator itself uses: once, as soon as storage answers. */
export async function ensureSystemKeys(options: SystemKeysOptions): Promise<void> {
  for (;;) {
    try {
      await makeSystemKeyring(options);
      for (const key of systemKeys) await makeSystemKey(options, key);
      return;
    } catch (error) {
      options.warn(`the system keys are not there yet: ${(error as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
    }
  }
}

async function makeSystemKeyring({ caller, keyringKeys }: SystemKeysOptions): Promise<void> {
  try {
    await keyringKeys.current(systemKeyring);
  } catch (error) {
    if (!isDomainError(error, "not-found")) throw error;
    const original = { caller, requestId: "", requestHash: new Uint8Array() };
    await keyringKeys.create(systemKeyring, original).catch(unlessThere);
  }
}

interface SystemKey {
  name: string;
  algorithm: string;
  /** Why it is held against destruction. */
  reason: string;
}

const systemKeys: readonly SystemKey[] = [
  { name: attestationKey, algorithm: "ecdsa-p256", reason: "signs generation records" },
  { name: ticketKey, algorithm: "ecdsa-p256", reason: "signs what is said about distributed keys" },
  { name: groupKey, algorithm: "hmac-sha256", reason: "groups' keys are derived from it" },
];

async function makeSystemKey(
  { caller, keyMaker, registry }: SystemKeysOptions,
  { algorithm, name, reason }: SystemKey,
): Promise<void> {
  const request = {
    name,
    algorithm,
    protection: "hsm",
    destroyAfterDays: 90,
    rotationPeriodSeconds: 0n,
    exportable: false,
  };
  const known = await registry.getKey({ name }).catch((error: unknown) => {
    if (isDomainError(error, "not-found")) return undefined;
    throw error;
  });
  if (known === undefined) {
    await keyMaker
      .createKey(request, { caller, requestId: "", requestHash: new Uint8Array() })
      .catch(unlessThere);
  }
  if (!known?.key?.holds.some((hold) => hold.reason === reason)) {
    await registry.placeHold({ name, reason });
  }
}

function unlessThere(error: unknown): void {
  if (!isDomainError(error, "already-exists")) throw error;
}
