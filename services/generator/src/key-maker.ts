import { createPublicKey, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import type { Client } from "@claviger/client";
import { DomainError } from "@claviger/domain-error";
import type { KeyMaterialService } from "@claviger/proto/storage/v1/key_material_pb.ts";
import type { Key } from "@claviger/proto/storage/v1/key_pb.ts";
import { SecretBytes } from "@claviger/secret-bytes";
import { type Algorithm, algorithmRow, checkAlgorithm, checkProtection } from "./algorithms.ts";
import type { GeneratedHsmKey, Hsm } from "./hsm/port.ts";
import type { KeyStore } from "./key-store.ts";
import type { KeyringKeys, OriginalCall } from "./keyring-keys.ts";
import { type MaterialBinding, sealEnvelope } from "./material-envelope.ts";

export interface NewKeyRequest {
  name: string;
  algorithm: string;
  protection: string;
  destroyAfterDays: number;
  rotationPeriodSeconds: bigint;
}

/** SubjectPublicKeyInfo of a P-256 point (RFC 5480 section 2), up to the point itself. */
const p256SpkiPrefix = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

/** Makes keys and versions: material in the HSM or mixed from two sources, wrapped, bound, registered. */
export class KeyMaker {
  readonly #hsm: Hsm;
  readonly #storage: Client<typeof KeyMaterialService>;
  readonly #keyringKeys: KeyringKeys;
  readonly #keyStore: KeyStore;

  constructor(options: {
    hsm: Hsm;
    storage: Client<typeof KeyMaterialService>;
    keyringKeys: KeyringKeys;
    keyStore: KeyStore;
  }) {
    this.#hsm = options.hsm;
    this.#storage = options.storage;
    this.#keyringKeys = options.keyringKeys;
    this.#keyStore = options.keyStore;
  }

  async createKey(request: NewKeyRequest, original: OriginalCall): Promise<Key> {
    const algorithm = checkAlgorithm(request.algorithm);
    const binding: MaterialBinding = {
      name: request.name,
      keyId: randomUUID(),
      version: 1,
      algorithm,
      purpose: algorithmRow(algorithm).purpose,
      protection: checkProtection(request.protection),
      exportable: false,
    };
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
    const { publicPoint, wrapped }: GeneratedHsmKey = await this.#hsm.generateKey(
      keyringKey,
      algorithmRow(algorithm).hsmKind,
    );
    const publicKey =
      publicPoint === undefined ? Buffer.alloc(0) : Buffer.concat([p256SpkiPrefix, publicPoint]);
    // Loading it checks that the point is on the curve (SP 800-56A Rev. 3, 5.6.2.3.3).
    if (publicKey.length > 0) createPublicKey({ key: publicKey, format: "der", type: "spki" });
    return { wrapped, publicKey };
  }

  async #makeInSoftware(keyringKey: string, algorithm: Algorithm) {
    const material = algorithmRow(algorithm).softwareMaterial;
    if (material.kind === "raw") {
      using secret = await this.mixedRandom(material.bytes);
      return { wrapped: await this.#hsm.wrapSecret(keyringKey, secret), publicKey: Buffer.alloc(0) };
    }
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    using secret = SecretBytes.take(privateKey.export({ type: "pkcs8", format: "der" }));
    return {
      wrapped: await this.#hsm.wrapSecret(keyringKey, secret),
      publicKey: publicKey.export({ type: "spki", format: "der" }),
    };
  }

  /** HSM and operating system combined by exclusive or, so that neither alone decides. */
  async mixedRandom(lengthBytes: number): Promise<SecretBytes> {
    using theirs = SecretBytes.take(await this.#hsm.random(lengthBytes));
    return SecretBytes.take(randomBytes(lengthBytes)).mix(theirs);
  }
}
