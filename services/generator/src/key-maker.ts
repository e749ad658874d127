import { randomUUID } from "node:crypto";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Key } from "@claviger/proto/storage/v1/key_pb.ts";
import { checkAlgorithm, checkNewAlgorithm, checkProtection } from "./algorithm-choice.ts";
import { algorithmRow, usesMaxOf } from "./algorithms.ts";
import type { Imported } from "./imported-material.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyringKeys, OriginalCall } from "./keyring-keys.ts";
import type { MaterialBinding } from "./material-envelope.ts";
import type { MaterialMaker } from "./material-maker.ts";

export interface NewKeyRequest {
  name: string;
  algorithm: string;
  protection: string;
  destroyAfterDays: number;
  rotationPeriodSeconds: bigint;
  exportable: boolean;
  activateAt?: Timestamp | undefined;
  expireAt?: Timestamp | undefined;
  labels?: Record<string, string>;
  owner?: string;
  description?: string;
}

export interface NewVersionRequest {
  name: string;
  /** 0 takes whatever is current. */
  expectedCurrentVersion: number;
  activateAt?: Timestamp | undefined;
  expireAt?: Timestamp | undefined;
}

/** Makes keys and versions: their material, and storage's rows of them. */
export class KeyMaker {
  readonly #storage: Client<typeof KeyMaterialService>;
  readonly #keyringKeys: KeyringKeys;
  readonly #keyStore: KeyStore;
  readonly #materials: MaterialMaker;
  readonly #admitLegacy: boolean;

  constructor(options: {
    storage: Client<typeof KeyMaterialService>;
    keyringKeys: KeyringKeys;
    keyStore: KeyStore;
    materials: MaterialMaker;
    /** Whether new keys may have a legacy algorithm. */
    admitLegacy: boolean;
  }) {
    this.#storage = options.storage;
    this.#keyringKeys = options.keyringKeys;
    this.#keyStore = options.keyStore;
    this.#materials = options.materials;
    this.#admitLegacy = options.admitLegacy;
  }

  /** `imported` is material that was made elsewhere. */
  async createKey(request: NewKeyRequest, original: OriginalCall, imported?: Imported): Promise<Key> {
    const algorithm = checkNewAlgorithm(request.algorithm, {
      admitLegacy: this.#admitLegacy,
      now: new Date(),
    });
    const binding: MaterialBinding = {
      name: request.name,
      keyId: randomUUID(),
      version: 1,
      algorithm,
      purpose: algorithmRow(algorithm).purpose,
      protection: checkProtection(request.protection),
      exportable: request.exportable,
    };
    if (binding.exportable && binding.protection !== "software") {
      throw new DomainError("invalid-argument", "a key with hsm protection never leaves the HSM", {
        hint: "leave out --exportable, or use --protection software",
      });
    }
    const row = {
      original,
      name: request.name,
      id: binding.keyId,
      purpose: binding.purpose,
      algorithm,
      protection: binding.protection,
      exportable: binding.exportable,
      destroyAfterDays: request.destroyAfterDays,
      rotationPeriodSeconds: request.rotationPeriodSeconds,
      usesMax: BigInt(usesMaxOf(algorithm)),
      labels: request.labels ?? {},
      owner: request.owner ?? "",
      description: request.description ?? "",
      ...datesOf(request),
    };
    return this.#keyringKeys.withNewest(keyringOf(request.name), async () => {
      const made = await this.#materials.make(binding, original.caller, imported);
      return (await this.#storage.createKey({ ...row, ...made })).key!;
    });
  }

  /** The next version, with everything as the key was born. */
  async createVersion(request: NewVersionRequest, original: OriginalCall): Promise<Key> {
    const { expectedCurrentVersion: expected, name } = request;
    const { key } = await this.#storage.getKeyMaterial({ name, version: 0 });
    if (key === undefined) throw new DomainError("integrity", "storage answered without a key");
    if (expected !== 0 && expected !== key.currentVersion) {
      throw new DomainError(
        "failed-precondition",
        `${name} is at version ${key.currentVersion}, not ${expected}`,
      );
    }
    if (!(await this.#keyStore.hasSecret(name))) {
      throw new DomainError(
        "failed-precondition",
        `${name} is a public half alone, and has no further versions`,
        {
          hint: "import the next public key under a name of its own",
        },
      );
    }
    const algorithm = checkAlgorithm(key.algorithm);
    const binding: MaterialBinding = {
      name,
      keyId: key.id,
      version: key.latestVersion + 1,
      algorithm,
      purpose: algorithmRow(algorithm).purpose,
      protection: checkProtection(key.protection),
      exportable: key.exportable,
    };
    const usesMax = BigInt(usesMaxOf(algorithm));
    const row = { original, name, id: key.id, version: binding.version, usesMax, ...datesOf(request) };
    const answer = await this.#keyringKeys.withNewest(keyringOf(name), async () =>
      this.#storage.addKeyVersion({ ...row, ...(await this.#materials.make(binding, original.caller)) }),
    );
    this.#keyStore.invalidate(name);
    return answer.key!;
  }
}

function keyringOf(name: string): string {
  return name.split("/")[0]!;
}

function datesOf({ activateAt, expireAt }: Pick<NewVersionRequest, "activateAt" | "expireAt">) {
  return {
    ...(activateAt === undefined ? {} : { activateAt }),
    ...(expireAt === undefined ? {} : { expireAt }),
  };
}
