import { createPublicKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { KeyCondition } from "@claviger/lifecycle";
import type { Algorithm, Protection, Scheme } from "./algorithms.ts";
import type { KeyMechanism } from "./mechanisms/mechanism.ts";
import type { UseAllowances } from "./use-allowances.ts";

export interface KeyFacts {
  name: string;
  id: string;
  idBytes: Buffer;
  version: number;
  algorithm: Algorithm;
  scheme: Scheme;
  protection: Protection;
  exportable: boolean;
  condition: KeyCondition;
  /** DER; empty for symmetric keys. */
  subjectPublicKeyInfo: Buffer;
  /** Whether the public half is all that there is. */
  publicOnly: boolean;
}

/**
 * A version that is ready for use. It is destroyed when the cache has let go of it and the last
 * operation has ended, whichever comes later.
 */
export class UsableKey {
  readonly facts: KeyFacts;
  /** When storage was asked for it, on the monotonic clock. */
  readonly askedAt: number;
  readonly #mechanism: KeyMechanism;
  readonly #publicKey: KeyObject | undefined;
  /** Only where the algorithm bounds its uses. */
  readonly #allowances: UseAllowances | undefined;
  #users = 0;
  #released = false;

  constructor(facts: KeyFacts, mechanism: KeyMechanism, askedAt: number, allowances?: UseAllowances) {
    this.facts = facts;
    this.askedAt = askedAt;
    this.#allowances = allowances;
    this.#mechanism = mechanism;
    this.#publicKey =
      facts.subjectPublicKeyInfo.length === 0
        ? undefined
        : createPublicKey({ key: facts.subjectPublicKeyInfo, format: "der", type: "spki" });
  }

  async use<T>(work: (mechanism: KeyMechanism) => Promise<T> | T): Promise<T> {
    this.#users += 1;
    try {
      return await work(this.#mechanism);
    } finally {
      this.#users -= 1;
      this.#destroyWhenIdle();
    }
  }

  /** The public half. Who asks has seen that the key's algorithm has one. */
  get publicKey(): KeyObject {
    if (this.#publicKey === undefined) {
      throw new DomainError("internal", "a key without a public half was asked for it");
    }
    return this.#publicKey;
  }

  /** Takes uses off what the algorithm permits a version, before they are made; false where too few are here. */
  takeUses(count: number): boolean {
    return this.#allowances?.take(this.facts, count) ?? true;
  }

  /** @throws DomainError `failed-precondition` where none are left */
  async reserveUses(count: number): Promise<void> {
    await this.#allowances?.reserve(this.facts, count);
  }

  /** The cache lets go. */
  release(): void {
    this.#released = true;
    this.#destroyWhenIdle();
  }

  #destroyWhenIdle(): void {
    if (this.#released && this.#users === 0) this.#mechanism.destroy();
  }
}
