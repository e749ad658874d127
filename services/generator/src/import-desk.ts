import { randomUUID } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { createRecipientSecret, recipientOf, type SealedSecret } from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { Hsm } from "./hsm/port.ts";
import { openImportKey, sealImportKey } from "./import-key.ts";
import type { KeyringKeys } from "./keyring-keys.ts";

export interface ImportDeskOptions {
  hsm: Hsm;
  keyringKeys: KeyringKeys;
  storage: Pick<Client<typeof KeyMaterialService>, "keepImportKey" | "takeImportKey">;
  now: () => Date;
}

const lifetimeSeconds = 600;

/**
 * Wrapping keys for imports: each for one caller, one name, one use and ten minutes. Between the two calls a key
 * lies in storage, wrapped with the keyring's key, so that any generator ends what another began.
 */
export class ImportDesk {
  readonly #options: ImportDeskOptions;

  constructor(options: ImportDeskOptions) {
    this.#options = options;
  }

  async begin(caller: string, name: string): Promise<{ id: string; publicKey: Uint8Array; expiresAt: Date }> {
    const { hsm, keyringKeys, now, storage } = this.#options;
    const binding = { id: randomUUID(), caller, name };
    const expiresAt = new Date(now().getTime() + lifetimeSeconds * 1000);
    const keyringKey = await keyringKeys.current(name.split("/")[0]!);
    using secret = createRecipientSecret();
    const { publicKey } = await recipientOf(secret);
    const key = {
      keyringGeneration: keyringKey.generation,
      expiresAt: expiresAt.getTime(),
      wrapped: await hsm.wrapSecret(keyringKey.id, secret),
    };
    const wrapped = await sealImportKey(key, binding, (data) => hsm.bindingMac(data));
    await storage.keepImportKey({ ...binding, wrapped, lifetimeSeconds });
    return { id: binding.id, publicKey, expiresAt };
  }

  /**
   * Opens what was sealed to a wrapping key, which is gone then, whatever comes of it.
   * @throws DomainError `failed-precondition` where it expired, was used, or is another caller's or key's
   */
  async open(
    id: string,
    by: { caller: string; name: string },
    sealed: SealedSecret,
    method: string,
  ): Promise<SecretBytes> {
    const { hsm, keyringKeys, now, storage } = this.#options;
    const { wrapped } = await storage.takeImportKey({ id, ...by });
    const key = await openImportKey(wrapped, { id, ...by }, (data) => hsm.bindingMac(data));
    if (key.expiresAt <= now().getTime()) {
      throw new DomainError("failed-precondition", "the wrapping key has expired", {
        hint: "a wrapping key is for one import within ten minutes: begin again",
      });
    }
    const keyringKey = await keyringKeys.find(by.name.split("/")[0]!, key.keyringGeneration);
    using secret = await hsm.unwrapSecret(keyringKey, key.wrapped);
    const recipient = await recipientOf(secret);
    return recipient.open(sealed, { method, name: by.name, version: 1 });
  }
}
