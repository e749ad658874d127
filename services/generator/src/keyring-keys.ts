import { randomUUID } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError, type ErrorKind, isDomainError } from "@claviger/domain-error";
import { LeaseCache } from "@claviger/lease";
import type { KeyMaterialService, WrappedGeneration } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Keyring } from "@claviger/proto/storage/v1/key_pb.ts";
import type { Hsm, KeyringKeyId, RecoveryWrap } from "./hsm/port.ts";

export interface OriginalCall {
  caller: string;
  requestId: string;
  requestHash: Uint8Array;
}

/** After these, storage has surely not kept the new generation. */
const certainRefusals: ReadonlySet<ErrorKind> = new Set([
  "aborted",
  "exhausted",
  "invalid-argument",
  "already-exists",
  "not-found",
  "denied",
  "unauthenticated",
  "failed-precondition",
]);

/** Keyrings' key-encryption keys: token objects, in generations that storage lists. */
export class KeyringKeys {
  readonly #hsm: Hsm;
  readonly #storage: Client<typeof KeyMaterialService>;
  readonly #generations: LeaseCache<WrappedGeneration[]>;

  constructor(options: { hsm: Hsm; storage: Client<typeof KeyMaterialService>; leaseMilliseconds: number }) {
    this.#hsm = options.hsm;
    this.#storage = options.storage;
    this.#generations = new LeaseCache({ leaseMilliseconds: options.leaseMilliseconds, entriesMax: 1000 });
  }

  /** The first generation is made in the token, wrapped for recovery, and only then registered. */
  async create(name: string, original: OriginalCall): Promise<Keyring> {
    return this.#register(async (made) => {
      const answer = await this.#storage.createKeyring({ original, name, generation: 1, ...made });
      return { keyring: answer.keyring!, kept: answer.created };
    });
  }

  /** The next generation: everything new is under it from now on, and the rewrapper moves the rest. */
  async rotate(keyring: string, original: OriginalCall): Promise<Keyring> {
    this.#generations.drop(keyring);
    const { generation } = await this.current(keyring);
    return this.#register(async (made) => {
      const request = { original, keyring, generation: generation + 1, ...made };
      const answer = await this.#storage.addKeyringGeneration(request);
      return { keyring: answer.keyring!, kept: answer.added };
    });
  }

  async #register(
    keep: (made: RecoveryWrap & { tokenObjectId: string }) => Promise<{ keyring: Keyring; kept: boolean }>,
  ): Promise<Keyring> {
    const tokenObjectId = randomUUID();
    const wrap = await this.#hsm.generateKeyringKey(tokenObjectId);
    try {
      const { keyring, kept } = await keep({ tokenObjectId, ...wrap });
      if (!kept) await this.#hsm.destroyKeyringKey(tokenObjectId);
      this.#generations.invalidate();
      return keyring;
    } catch (error) {
      // Where storage may have kept it after all, an unused token object is better than a lost one.
      if (isDomainError(error) && certainRefusals.has(error.kind)) {
        await this.#hsm.destroyKeyringKey(tokenObjectId);
      }
      throw error;
    }
  }

  async current(keyring: string): Promise<{ id: KeyringKeyId; generation: number }> {
    const newest = (await this.#list(keyring)).at(-1)!;
    return { id: newest.tokenObjectId, generation: newest.generation };
  }

  async find(keyring: string, generation: number): Promise<KeyringKeyId> {
    const known = await this.#find(keyring, generation);
    if (known !== undefined) return known;
    // It may be newer than what we know.
    this.#generations.drop(keyring);
    const found = await this.#find(keyring, generation);
    if (found !== undefined) return found;
    throw new DomainError("integrity", `keyring ${keyring} has no generation ${generation}`);
  }

  async #find(keyring: string, generation: number): Promise<KeyringKeyId | undefined> {
    const found = (await this.#list(keyring)).find((candidate) => candidate.generation === generation);
    return found?.tokenObjectId;
  }

  /** An event said that there is another generation. */
  invalidate(keyring: string | undefined): void {
    if (keyring === undefined) this.#generations.invalidate();
    else this.#generations.drop(keyring);
  }

  /** Repeats `work` once where the keyring got a newer generation since we last looked. */
  async withNewest<T>(keyring: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isDomainError(error, "aborted")) throw error;
      this.#generations.drop(keyring);
      return work();
    }
  }

  async #list(keyring: string): Promise<WrappedGeneration[]> {
    return this.#generations.get(keyring, async () => {
      const { generations } = await this.#storage.listKeyringGenerations({ keyring });
      return generations;
    });
  }
}
