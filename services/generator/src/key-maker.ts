import { randomBytes, randomUUID } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Key } from "@claviger/proto/storage/v1/key_pb.ts";
import { SecretBytes } from "@claviger/secret-bytes";
import { checkAlgorithm, checkNewAlgorithm, checkProtection, requireHsmSpec } from "./algorithm-choice.ts";
import { type Algorithm, algorithmRow, usesMaxOf } from "./algorithms.ts";
import type { Hsm } from "./hsm/port.ts";
import { makeMaterial } from "./key-material.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyringKeys, OriginalCall } from "./keyring-keys.ts";
import { type MaterialBinding, sealEnvelope } from "./material-envelope.ts";

export interface NewKeyRequest {
  name: string;
  algorithm: string;
  protection: string;
  destroyAfterDays: number;
  rotationPeriodSeconds: bigint;
  exportable: boolean;
}

/** Makes keys and versions: material in the HSM or mixed from two sources, wrapped, bound, registered. */
export class KeyMaker {
  readonly #hsm: Hsm;
  readonly #storage: Client<typeof KeyMaterialService>;
  readonly #keyringKeys: KeyringKeys;
  readonly #keyStore: KeyStore;
  readonly #admitLegacy: boolean;

  constructor(options: {
    hsm: Hsm;
    storage: Client<typeof KeyMaterialService>;
    keyringKeys: KeyringKeys;
    keyStore: KeyStore;
    /** Whether new keys may have a legacy algorithm. */
    admitLegacy: boolean;
  }) {
    this.#hsm = options.hsm;
    this.#storage = options.storage;
    this.#keyringKeys = options.keyringKeys;
    this.#keyStore = options.keyStore;
    this.#admitLegacy = options.admitLegacy;
  }

  async createKey(request: NewKeyRequest, original: OriginalCall): Promise<Key> {
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
    const { key } = await this.#storage.createKey({
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
      material: await this.#makeMaterial(binding),
    });
    return key!;
  }

  /** The next version, with everything as the key was born. `expected` of 0 takes whatever is current. */
  async createVersion(name: string, expected: number, original: OriginalCall): Promise<Key> {
    const { key } = await this.#storage.getKeyMaterial({ name, version: 0 });
    if (key === undefined) throw new DomainError("integrity", "storage answered without a key");
    if (expected !== 0 && expected !== key.currentVersion) {
      throw new DomainError(
        "failed-precondition",
        `${name} is at version ${key.currentVersion}, not ${expected}`,
      );
    }
    const algorithm = checkAlgorithm(key.algorithm);
    const binding: MaterialBinding = {
      name,
      keyId: key.id,
      version: key.currentVersion + 1,
      algorithm,
      purpose: algorithmRow(algorithm).purpose,
      protection: checkProtection(key.protection),
      exportable: key.exportable,
    };
    const answer = await this.#storage.addKeyVersion({
      original,
      name,
      id: key.id,
      version: binding.version,
      usesMax: BigInt(usesMaxOf(algorithm)),
      material: await this.#makeMaterial(binding),
    });
    this.#keyStore.invalidate(name);
    return answer.key!;
  }

  async #makeMaterial(binding: MaterialBinding): Promise<Buffer> {
    const keyringKey = await this.#keyringKeys.current(binding.name.split("/")[0]!);
    const made =
      binding.protection === "hsm"
        ? await this.#makeInHsm(keyringKey.id, binding.algorithm)
        : await this.#makeInSoftware(keyringKey.id, binding.algorithm);
    const envelope = { keyringGeneration: keyringKey.generation, ...made };
    return sealEnvelope(envelope, binding, (data) => this.#hsm.bindingMac(data));
  }

  async #makeInHsm(keyringKey: string, algorithm: Algorithm) {
    const spec = requireHsmSpec(algorithm);
    const lack = this.#hsm.lacks(spec);
    if (lack !== undefined) {
      throw new DomainError(
        "failed-precondition",
        `${algorithm} cannot have hsm protection: the HSM ${lack}`,
        {
          hint: "use --protection software, or another algorithm",
        },
      );
    }
    const { publicKey, wrapped } = await this.#hsm.generateKey(keyringKey, spec);
    return { wrapped, publicKey: publicKey ?? Buffer.alloc(0) };
  }

  async #makeInSoftware(keyringKey: string, algorithm: Algorithm) {
    const { scheme } = algorithmRow(algorithm);
    const made = await makeMaterial(scheme, (lengthBytes) => this.mixedRandom(lengthBytes));
    using secret = made.secret;
    return { wrapped: await this.#hsm.wrapSecret(keyringKey, secret), publicKey: made.publicKey };
  }

  /** HSM and operating system combined by exclusive or, so that neither alone decides. */
  async mixedRandom(lengthBytes: number): Promise<SecretBytes> {
    using theirs = SecretBytes.take(await this.#hsm.random(lengthBytes));
    return SecretBytes.take(randomBytes(lengthBytes)).mix(theirs);
  }
}
