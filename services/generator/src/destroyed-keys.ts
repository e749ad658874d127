import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "@claviger/client";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { collectNow } from "./mechanisms/collection.ts";

export interface DestroyedKeysOptions {
  storage: Client<typeof KeyMaterialService>;
  /** `host:port`: with the machine's name, it tells replicas apart. */
  listen: string;
  onTrouble: (what: string) => void;
}

const settleMilliseconds = 200;

/**
 * Says to storage that this replica holds nothing of a destroyed key any more: its secrets are let go of by then, and
 * what the collector frees is cleared. Keys that end together are collected once.
 */
export class DestroyedKeys {
  readonly #options: DestroyedKeysOptions;
  readonly #names = new Set<string>();
  #clearing: Promise<void> | undefined;

  constructor(options: DestroyedKeysOptions) {
    this.#options = options;
  }

  /** What was under way with the key has its moment to end. */
  add(name: string): void {
    this.#names.add(name);
    this.#clearing ??= this.#clear();
  }

  async #clear(): Promise<void> {
    await sleep(settleMilliseconds, undefined, { ref: false });
    this.#clearing = undefined;
    const names = [...this.#names];
    this.#names.clear();
    collectNow();
    const { listen, onTrouble, storage } = this.#options;
    const replica = `${hostname()} ${listen}`;
    for (const name of names) {
      await storage.acknowledgeDestruction({ name, replica }).catch((error: unknown) => {
        onTrouble(`the destruction of ${name} was not acknowledged: ${(error as Error).message}`);
      });
    }
  }
}
