import { refuseSilence } from "@claviger/access";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import { LeaseCache } from "@claviger/lease";
import { type KeyCondition, type KeyOperation, whyRefused } from "@claviger/lifecycle";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { SecretBytes } from "@claviger/secret-bytes";
import { requireHsmSpec } from "./algorithm-choice.ts";
import { algorithmRow, publicOperations, usesMaxOf } from "./algorithms.ts";
import type { Health } from "./health/health.ts";
import type { Hsm, KeyringKeyId } from "./hsm/port.ts";
import type { KeyringKeys } from "./keyring-keys.ts";
import { openEnvelope } from "./material-envelope.ts";
import { hsmMechanism } from "./mechanisms/hsm.ts";
import type { KeyMechanism } from "./mechanisms/mechanism.ts";
import { softwareMechanism } from "./mechanisms/software.ts";
import { readFacts } from "./stored-key.ts";
import { type KeyFacts, UsableKey } from "./usable-key.ts";
import { UseAllowances } from "./use-allowances.ts";

export interface KeyStoreOptions {
  hsm: Hsm;
  storage: Client<typeof KeyMaterialService>;
  keyringKeys: KeyringKeys;
  leaseMilliseconds: number;
  health: Health;
  now: () => Date;
  onTrouble: (error: unknown) => void;
}

/** `wrapped` is undefined once the version is destroyed, and where the public half is all that there is. */
interface StoredKey {
  facts: KeyFacts;
  wrapped: { keyringKey: KeyringKeyId; material: Buffer } | undefined;
}

const keysMax = 5000;
const sweepMilliseconds = 2000;
/** A key that refuses is read again at most this often, whoever asks in a loop. */
const rereadMilliseconds = 20;

/**
 * Loaded versions, each for a lease from the moment of asking storage. `current` and a numbered
 * version are separate entries, since what is current may change.
 */
export class KeyStore implements Disposable {
  readonly #options: KeyStoreOptions;
  readonly #cache: LeaseCache<UsableKey>;
  readonly #sweeper: NodeJS.Timeout;
  readonly #allowances: UseAllowances;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
    this.#allowances = new UseAllowances(options.storage);
    this.#cache = new LeaseCache({
      leaseMilliseconds: options.leaseMilliseconds,
      entriesMax: keysMax,
      onRelease: (key) => key.release(),
    });
    this.#sweeper = setInterval(() => this.#cache.sweep(), sweepMilliseconds).unref();
  }

  /**
   * A version (0: the current one) that its state, and its key's, permit to `operation`; of several,
   * to the first that its algorithm has.
   * @throws DomainError `failed-precondition` saying why it is refused
   */
  async require(
    name: string,
    version: number,
    ...operations: readonly [KeyOperation, ...KeyOperation[]]
  ): Promise<UsableKey> {
    const calledAt = performance.now();
    const cacheKey = `${name}\n${version}`;
    for (;;) {
      const key = await this.#cache.get(cacheKey, () => this.#load(name, version));
      this.#options.health.requireServed(key.facts.algorithm, key.facts.protection);
      const operation = chooseOperation(key, operations);
      // By the dates that came with it, whatever storage and the bus do.
      const now = this.#options.now();
      if (!refuses(key, operation, now) || key.askedAt >= calledAt) {
        checkOperation(key.facts, operation, now);
        return key;
      }
      // A refusal that storage gave before this call may be of the past: a restore would seem to have failed.
      const early = key.askedAt + rereadMilliseconds - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      await this.#cache.renew(cacheKey, key, () => this.#load(name, version));
    }
  }

  /**
   * Protects something with the current version, once `count` uses of it are set aside. The key is asked for
   * anew after any waiting: what is used is never older than its lease, nor let go of already.
   */
  async protect<T>(
    name: string,
    operations: readonly [KeyOperation, ...KeyOperation[]],
    count: number,
    work: (mechanism: KeyMechanism, key: UsableKey) => Promise<T> | T,
  ): Promise<{ value: T; key: UsableKey }> {
    for (;;) {
      const key = await this.require(name, 0, ...operations);
      if (key.takeUses(count)) return { value: await key.use((mechanism) => work(mechanism, key)), key };
      await key.reserveUses(count);
    }
  }

  /** An event said that something about this key changed. */
  invalidate(name: string): void {
    this.#cache.invalidate((key) => key.startsWith(`${name}\n`));
  }

  invalidateAll(): void {
    this.#cache.invalidate();
  }

  async #load(name: string, version: number): Promise<UsableKey> {
    const { hsm, onTrouble } = this.#options;
    const askedAt = performance.now();
    return this.#withStored(name, version, async ({ facts, wrapped }) => {
      // Of a destroyed version, or a public half alone, no secret is used.
      if (wrapped === undefined) return new UsableKey(facts, { destroy() {} }, askedAt);
      if (facts.protection === "hsm") {
        const spec = requireHsmSpec(facts.algorithm);
        const handle = await hsm.unwrapKey(wrapped.keyringKey, spec, wrapped.material);
        return this.#usable(facts, hsmMechanism(hsm, handle, facts.scheme, onTrouble), askedAt);
      }
      using secret = await hsm.unwrapSecret(wrapped.keyringKey, wrapped.material);
      return this.#usable(facts, softwareMechanism(algorithmRow(facts.algorithm), secret, hsm), askedAt);
    });
  }

  /**
   * `work` with what storage has. Where that was wrapped anew meanwhile, the generation that it was under may
   * be gone from the token: then once more.
   */
  async #withStored<T>(name: string, version: number, work: (stored: StoredKey) => Promise<T>): Promise<T> {
    const stored = await this.#read(name, version);
    try {
      return await work(stored);
    } catch (error) {
      const { wrapped } = stored;
      if (wrapped === undefined) throw error;
      const again = await this.#read(name, stored.facts.version).catch(() => undefined);
      const moved = again?.wrapped !== undefined && !again.wrapped.material.equals(wrapped.material);
      if (!moved) throw error;
      return work(again);
    }
  }

  #usable(facts: KeyFacts, mechanism: KeyMechanism, askedAt: number): UsableKey {
    const bounded = usesMaxOf(facts.algorithm) > 0;
    return new UsableKey(facts, mechanism, askedAt, bounded ? this.#allowances : undefined);
  }

  /** What storage has, found to be what the HSM bound. */
  async #read(name: string, version: number): Promise<StoredKey> {
    const { hsm, keyringKeys, storage } = this.#options;
    const answer = await storage.getKeyMaterial({ name, version }).catch(refuseSilence);
    const { facts, binding } = readFacts(answer.key, answer.version, name, answer.supersededAt);
    if (answer.material.length === 0) {
      if (facts.condition.versionState === "destroyed") return { facts, wrapped: undefined };
      throw new DomainError("integrity", `${name}@${facts.version} has no material, and was not destroyed`);
    }
    const envelope = await openEnvelope(answer.material, binding, (data) => hsm.bindingMac(data));
    facts.subjectPublicKeyInfo = Buffer.from(envelope.publicKey);
    facts.publicOnly = envelope.wrapped.length === 0;
    if (facts.publicOnly) return { facts, wrapped: undefined };
    const keyringKey = await keyringKeys.find(name.split("/")[0]!, envelope.keyringGeneration);
    return { facts, wrapped: { keyringKey, material: envelope.wrapped } };
  }

  /** Whether there is more of a key than its public half. Asked of storage anew. */
  async hasSecret(name: string): Promise<boolean> {
    return !(await this.#read(name, 0)).facts.publicOnly;
  }

  /**
   * The material of a version of an exportable key, on its way into a wrap or a seal: raw bytes, or
   * PKCS #8 in DER. Asked of storage anew, whatever is cached.
   * @throws DomainError `failed-precondition` where the key was not born exportable
   */
  async exportMaterial(name: string, version: number): Promise<{ secret: SecretBytes; facts: KeyFacts }> {
    return this.#withStored(name, version, async ({ facts, wrapped }) => {
      if (!facts.exportable) {
        throw new DomainError("failed-precondition", `${name} is not exportable`, {
          hint: "that is fixed when a key is made: claviger keys create … --exportable",
        });
      }
      checkOperation(facts, "export", this.#options.now());
      if (wrapped === undefined) throw new DomainError("internal", "a destroyed key was let through");
      return { secret: await this.#options.hsm.unwrapSecret(wrapped.keyringKey, wrapped.material), facts };
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweeper);
    this.#cache.invalidate();
  }
}

function refuses(key: UsableKey, operation: KeyOperation, now: Date): boolean {
  return whyRefused(operation, key.facts.condition, now) !== undefined;
}

/** @throws DomainError `failed-precondition` where the key's algorithm has none of them */
function chooseOperation({ facts }: UsableKey, operations: readonly KeyOperation[]): KeyOperation {
  const row = algorithmRow(facts.algorithm);
  const served = facts.publicOnly ? publicOperations(row) : row.operations;
  const chosen = operations.find((operation) => served.includes(operation));
  if (chosen !== undefined) return chosen;
  if (facts.publicOnly) {
    throw new DomainError(
      "failed-precondition",
      `${facts.name} is a public half alone, which cannot ${operations.join(" or ")}`,
      {
        hint: "its private half is with whoever made it",
      },
    );
  }
  throw new DomainError(
    "failed-precondition",
    `${facts.name} is a key for ${facts.algorithm}, which cannot ${operations.join(" or ")}`,
    { hint: "claviger keys show tells what a key is for" },
  );
}

function checkOperation(
  facts: { name: string; condition: KeyCondition },
  operation: KeyOperation,
  now: Date,
): void {
  const refusal = whyRefused(operation, facts.condition, now);
  if (refusal === undefined) return;
  const pending = facts.condition.destroyAt !== undefined && facts.condition.keyState !== "destroyed";
  throw new DomainError("failed-precondition", `${facts.name} ${refusal}`, {
    hint: pending ? `until then it can be taken back: claviger keys restore ${facts.name}` : undefined,
  });
}
