import type { Client } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
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
const holdReason = "signs generation records";

/** The keyring of Claviger's own keys and the key that signs generation records: once, as soon as storage answers. */
export async function ensureSystemKeys(options: SystemKeysOptions): Promise<void> {
  for (;;) {
    try {
      await makeSystemKeyring(options);
      await makeAttestationKey(options);
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

async function makeAttestationKey({ caller, keyMaker, registry }: SystemKeysOptions): Promise<void> {
  const request = {
    name: attestationKey,
    algorithm: "ecdsa-p256",
    protection: "hsm",
    destroyAfterDays: 90,
    rotationPeriodSeconds: 0n,
    exportable: false,
  };
  const known = await registry.getKey({ name: attestationKey }).catch((error: unknown) => {
    if (isDomainError(error, "not-found")) return undefined;
    throw error;
  });
  if (known === undefined) {
    await keyMaker
      .createKey(request, { caller, requestId: "", requestHash: new Uint8Array() })
      .catch(unlessThere);
  }
  if (!known?.key?.holds.some(({ reason }) => reason === holdReason)) {
    await registry.placeHold({ name: attestationKey, reason: holdReason });
  }
}

function unlessThere(error: unknown): void {
  if (!isDomainError(error, "already-exists")) throw error;
}
