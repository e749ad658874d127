import { createHash } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type {
  KeyMaterialService,
  SupersededGeneration,
  SupersededMaterial,
} from "@claviger/proto/storage/v1/key_material_pb.ts";
import { Rounds } from "@claviger/service";
import { requireHsmSpec } from "./algorithm-choice.ts";
import type { Hsm } from "./hsm/port.ts";
import type { KeyringKeys } from "./keyring-keys.ts";
import { openEnvelope, sealEnvelope } from "./material-envelope.ts";
import { readFacts } from "./stored-key.ts";

export interface RewrapperOptions {
  hsm: Hsm;
  storage: Client<typeof KeyMaterialService>;
  keyringKeys: KeyringKeys;
  onTrouble: (what: string) => void;
}

/** An event says when there is work; these rounds find what no event told of. */
const roundMilliseconds = 5 * 60_000;
const retryMilliseconds = 5000;

/**
 * Moves material from the older generations of keyrings' keys under the newest, while everything goes on,
 * and destroys in the token what then wraps nothing. Nothing is remembered here: storage tells what is left,
 * so that any replica may do it, after any crash, and twice does no harm.
 */
export class Rewrapper implements AsyncDisposable {
  readonly #options: RewrapperOptions;
  readonly #rounds: Rounds;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RewrapperOptions) {
    this.#options = options;
    const onTrouble = (what: string): void => {
      options.onTrouble(what);
      this.#retrySoon();
    };
    this.#rounds = new Rounds({
      everyMilliseconds: roundMilliseconds,
      work: () => this.#round(),
      waiting: "wrapping keys anew waits",
      onTrouble,
    });
    this.#rounds.poke();
  }

  /** There is another generation somewhere. */
  poke(): void {
    this.#rounds.poke();
  }

  #retrySoon(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#rounds.poke(), retryMilliseconds).unref();
  }

  async #round(): Promise<boolean> {
    const { generations } = await this.#options.storage.listSupersededGenerations({});
    for (const [keyring, superseded] of Map.groupBy(generations, (one) => one.keyring)) {
      try {
        await this.#finish(keyring, superseded);
      } catch (error) {
        // One keyring's trouble is not another's.
        this.#options.onTrouble(`keyring ${keyring} waits for its new key: ${(error as Error).message}`);
        this.#retrySoon();
      }
    }
    return false;
  }

  async #finish(keyring: string, superseded: readonly SupersededGeneration[]): Promise<void> {
    const { hsm, onTrouble, storage } = this.#options;
    if (superseded.some(({ ended }) => !ended)) await this.#moveAll(keyring);
    for (const { ended, generation, tokenObjectId } of superseded) {
      if (this.#closed) return;
      if (!ended) {
        const { materialsLeft } = await storage.endKeyringGeneration({ keyring, generation });
        if (materialsLeft > 0n) {
          onTrouble(
            `${materialsLeft} versions are still under generation ${generation} of keyring ${keyring}`,
          );
          this.#retrySoon();
          continue;
        }
      }
      await hsm.destroyKeyringKey(tokenObjectId);
      await storage.endKeyringGeneration({ keyring, generation, destroyed: true });
    }
  }

  async #moveAll(keyring: string): Promise<void> {
    const { keyringKeys, onTrouble, storage } = this.#options;
    keyringKeys.invalidate(keyring);
    let after = { afterKey: "", afterVersion: 0 };
    for (;;) {
      const page = await storage.listSupersededMaterial({ keyring, ...after });
      const { last, materials, unreadable } = page;
      for (const name of unreadable) onTrouble(`${name} stays under its old generation: its row was changed`);
      const replacements = [];
      for (const material of materials) {
        if (this.#closed) return;
        const replacement = await this.#move(keyring, material);
        if (replacement !== undefined) replacements.push(replacement);
      }
      if (replacements.length > 0) await storage.replaceMaterial({ keyring, replacements });
      if (last) return;
      after = { afterKey: page.endKey, afterVersion: page.endVersion };
    }
  }

  /** Undefined, with a word about it, where the material is not what the HSM bound: it stays where it is. */
  async #move(keyring: string, { key, material, version }: SupersededMaterial) {
    const { hsm, keyringKeys, onTrouble } = this.#options;
    const name = key?.name ?? "";
    const mac = (data: Uint8Array): Promise<Buffer> => hsm.bindingMac(data);
    try {
      const { binding, facts } = readFacts(key, version, name);
      const { publicKey, wrapped, ...old } = await openEnvelope(material, binding, mac);
      const newest = await keyringKeys.current(keyring);
      const envelope = { keyringGeneration: newest.generation, wrapped, publicKey };
      const spec = binding.protection === "hsm" ? requireHsmSpec(facts.algorithm) : undefined;
      const keys = { from: await keyringKeys.find(keyring, old.keyringGeneration), to: newest.id };
      // Of a public half alone nothing is wrapped.
      if (wrapped.length > 0) envelope.wrapped = await hsm.rewrap(keys, spec, wrapped);
      return {
        name,
        id: facts.id,
        version: facts.version,
        replacedDigest: createHash("sha256").update(material).digest(),
        material: await sealEnvelope(envelope, binding, mac),
      };
    } catch (error) {
      if (!(error instanceof DomainError) || error.kind !== "integrity") throw error;
      onTrouble(`${name} stays under its old generation: ${error.message}`);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#rounds[Symbol.asyncDispose]();
  }
}
