import type { Client } from "@claviger/client";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";

export interface VersionOfKey {
  /** `keyring/key` */
  name: string;
  /** UUID. */
  id: string;
  version: number;
}

interface Allowance {
  left: number;
  /** How many were asked for last. */
  chunk: number;
  asking: Promise<void> | undefined;
}

const firstChunk = 1024;
const chunkMax = 2 ** 20;
const versionsMax = 20_000;

/**
 * Uses of versions that storage has set aside for this process. What a killed process had left is lost,
 * never made twice: the count is too large rather than too small. Chunks double, so that a key that is
 * used little loses little, and one that is used much asks seldom.
 */
export class UseAllowances {
  readonly #storage: Pick<Client<typeof KeyMaterialService>, "reserveUses">;
  readonly #allowances = new Map<string, Allowance>();

  constructor(storage: Pick<Client<typeof KeyMaterialService>, "reserveUses">) {
    this.#storage = storage;
  }

  /** Takes `count` uses if they are here; else `reserve`, and try again. */
  take(of: VersionOfKey, count: number): boolean {
    const allowance = this.#of(of);
    if (allowance.left < count) return false;
    allowance.left -= count;
    // Ahead of need, so that nobody waits; a refusal shows when the rest is used up.
    if (allowance.left < allowance.chunk / 4) this.#ask(of, allowance, count).catch(() => undefined);
    return true;
  }

  /**
   * Has storage set more uses aside.
   * @throws DomainError `failed-precondition` where the version has none left
   */
  reserve(of: VersionOfKey, count: number): Promise<void> {
    return this.#ask(of, this.#of(of), count);
  }

  #ask(of: VersionOfKey, allowance: Allowance, atLeast: number): Promise<void> {
    allowance.asking ??= this.#reserve(of, allowance, atLeast).finally(() => {
      allowance.asking = undefined;
    });
    return allowance.asking;
  }

  async #reserve({ name, version }: VersionOfKey, allowance: Allowance, atLeast: number): Promise<void> {
    const chunk = Math.min(Math.max(allowance.chunk * 2, firstChunk, atLeast), chunkMax);
    const { granted } = await this.#storage.reserveUses({ name, version, count: chunk });
    allowance.chunk = chunk;
    allowance.left += granted;
  }

  #of({ id, version }: VersionOfKey): Allowance {
    const key = `${id}@${version}`;
    const known = this.#allowances.get(key);
    if (known !== undefined) return known;
    const made: Allowance = { left: 0, chunk: 0, asking: undefined };
    this.#allowances.set(key, made);
    if (this.#allowances.size > versionsMax) {
      // The oldest: what it had left is lost, and counted as used.
      const [oldest] = this.#allowances.keys();
      this.#allowances.delete(oldest!);
    }
    return made;
  }
}
