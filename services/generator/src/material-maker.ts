import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import { requireHsmSpec } from "./algorithm-choice.ts";
import { type Algorithm, algorithmRow, type Scheme } from "./algorithms.ts";
import type { Attester } from "./attester.ts";
import { attestationKey, buildGenerationRecord, type SignedRecord } from "./generation-record.ts";
import type { Health } from "./health/health.ts";
import type { TestedRandom } from "./health/tested-random.ts";
import type { Hsm, HsmKeySpec } from "./hsm/port.ts";
import { type Imported, readImported, readImportedPublicKey } from "./imported-material.ts";
import { makeMaterial, type RandomnessSource } from "./key-material.ts";
import { type Validation, validateNewKey, validatePublicKey } from "./key-validation.ts";
import type { KeyringKeys } from "./keyring-keys.ts";
import { fingerprintOf, materialDigest } from "./material-digest.ts";
import { type MaterialBinding, sealEnvelope } from "./material-envelope.ts";
import { hsmMechanism } from "./mechanisms/hsm.ts";
import type { KeyMechanism } from "./mechanisms/mechanism.ts";
import { softwareMechanism } from "./mechanisms/software.ts";

export interface MaterialMakerOptions {
  hsm: Hsm;
  keyringKeys: KeyringKeys;
  attester: Attester;
  random: TestedRandom;
  health: Health;
  now: () => Date;
  onTrouble: (error: unknown) => void;
}

/** A new version as it is registered. */
export interface MadeVersion {
  /** The envelope of docs/formats.md. */
  material: Buffer;
  generationRecord: SignedRecord;
  /** By which storage finds material that is there already; empty for what only the HSM has seen. */
  materialDigest: Buffer;
}

interface Made {
  wrapped: Buffer;
  publicKey: Buffer;
  source: RandomnessSource;
  validations: Validation[];
  /** SHA-256 of what makes this key different from others; undefined where that cannot be seen. */
  fingerprint: Buffer | undefined;
}

/** Makes material in the HSM or of two sources, tries it, wraps it, binds it, and signs how it came to be. */
export class MaterialMaker {
  readonly #options: MaterialMakerOptions;

  constructor(options: MaterialMakerOptions) {
    this.#options = options;
  }

  /**
   * `imported` is made elsewhere; without it, new material is made.
   * @throws DomainError where the algorithm is not served, the HSM lacks it, or the new key fails its tests
   */
  async make(binding: MaterialBinding, requester: string, imported?: Imported): Promise<MadeVersion> {
    const { health, hsm, keyringKeys, now } = this.#options;
    health.requireServed(binding.algorithm, binding.protection);
    const keyringKey = await keyringKeys.current(binding.name.split("/")[0]!);
    let generationRecord: SignedRecord | undefined;
    // While the new key can be used: the key that signs records signs its own.
    const attest = async (made: Made, mechanism?: KeyMechanism): Promise<void> => {
      const record = buildGenerationRecord({
        binding,
        ...made,
        module: hsm.describe(),
        time: now(),
        requester,
      });
      generationRecord =
        binding.name === attestationKey && mechanism !== undefined
          ? { record, signature: await mechanism.sign!(record), signerVersion: binding.version }
          : await this.#options.attester.sign(record);
    };
    const made =
      imported !== undefined && "publicKey" in imported
        ? await this.#takePublicKey(binding.algorithm, imported.publicKey, attest)
        : binding.protection === "hsm"
          ? await this.#makeInHsm(keyringKey.id, binding.algorithm, attest, imported?.secret)
          : await this.#makeInSoftware(keyringKey.id, binding.algorithm, attest, imported?.secret);
    if (generationRecord === undefined)
      throw new DomainError("internal", "a key was made without its record");
    const { fingerprint, publicKey, wrapped } = made;
    const mac = (data: Uint8Array): Promise<Buffer> => hsm.bindingMac(data);
    const envelope = { keyringGeneration: keyringKey.generation, wrapped, publicKey };
    return {
      material: await sealEnvelope(envelope, binding, mac),
      generationRecord,
      materialDigest: fingerprint === undefined ? Buffer.alloc(0) : await materialDigest(fingerprint, mac),
    };
  }

  async #makeInHsm(
    keyringKey: string,
    algorithm: Algorithm,
    attest: (made: Made, mechanism: KeyMechanism) => Promise<void>,
    imported: SecretBytes | undefined,
  ): Promise<Made> {
    const { hsm, onTrouble } = this.#options;
    const spec = requireHsmSpec(algorithm);
    const lack = hsm.lacks(spec);
    if (lack !== undefined) {
      throw new DomainError(
        "failed-precondition",
        `${algorithm} cannot have hsm protection: the HSM ${lack}`,
        {
          hint: "use --protection software, or another algorithm",
        },
      );
    }
    const { scheme } = algorithmRow(algorithm);
    const { fingerprint, publicKey, source, wrapped } =
      imported === undefined
        ? await this.#generateInHsm(keyringKey, spec)
        : await this.#importIntoHsm(keyringKey, spec, scheme, imported);
    const key = await hsm.unwrapKey(keyringKey, spec, wrapped);
    const mechanism = hsmMechanism(hsm, key, scheme, onTrouble);
    try {
      const validations = await validateNewKey(scheme, mechanism, publicKey);
      const made: Made = { wrapped, publicKey, source, validations, fingerprint };
      await attest(made, mechanism);
      return made;
    } finally {
      mechanism.destroy();
    }
  }

  async #generateInHsm(keyringKey: string, spec: HsmKeySpec): Promise<Omit<Made, "validations">> {
    const { hsm, random } = this.#options;
    // The HSM draws for itself: its source must be well all the same.
    await random.requireHealthy();
    const { publicKey = Buffer.alloc(0), wrapped } = await hsm.generateKey(keyringKey, spec);
    const fingerprint = publicKey.length === 0 ? undefined : fingerprintOf(publicKey);
    return { wrapped, publicKey, source: "hsm", fingerprint };
  }

  /** What was made elsewhere is in this process's memory until it is wrapped; the record says `imported`. */
  async #importIntoHsm(
    keyringKey: string,
    spec: HsmKeySpec,
    scheme: Scheme,
    imported: SecretBytes,
  ): Promise<Omit<Made, "validations">> {
    const { publicKey, secret, source } = readImported(scheme, imported);
    using material = secret;
    const wrapped = await this.#options.hsm.importKey(keyringKey, spec, material);
    return { wrapped, publicKey, source, fingerprint: fingerprintSeen(publicKey, material) };
  }

  /** Nothing is wrapped. Others may have the same one, so that no digest of it is kept. */
  async #takePublicKey(
    algorithm: Algorithm,
    imported: Uint8Array,
    attest: (made: Made) => Promise<void>,
  ): Promise<Made> {
    const row = algorithmRow(algorithm);
    const publicKey = readImportedPublicKey(row, imported);
    const validations = validatePublicKey(row.scheme, publicKey);
    const made: Made = {
      wrapped: Buffer.alloc(0),
      publicKey,
      source: "imported-public",
      validations,
      fingerprint: undefined,
    };
    await attest(made);
    return made;
  }

  async #makeInSoftware(
    keyringKey: string,
    algorithm: Algorithm,
    attest: (made: Made, mechanism: KeyMechanism) => Promise<void>,
    imported: SecretBytes | undefined,
  ): Promise<Made> {
    const { hsm, random } = this.#options;
    const row = algorithmRow(algorithm);
    const {
      publicKey,
      secret: made,
      source,
    } = imported === undefined
      ? await makeMaterial(row.scheme, (bytes) => random.mixed(bytes))
      : readImported(row.scheme, imported);
    using secret = made;
    const mechanism = softwareMechanism(row, secret);
    try {
      const validations = await validateNewKey(row.scheme, mechanism, publicKey);
      const wrapped = await hsm.wrapSecret(keyringKey, secret);
      const fingerprint = fingerprintSeen(publicKey, secret);
      const whole: Made = { wrapped, publicKey, source, validations, fingerprint };
      await attest(whole, mechanism);
      return whole;
    } finally {
      mechanism.destroy();
    }
  }
}

function fingerprintSeen(publicKey: Buffer, secret: SecretBytes): Buffer {
  return fingerprintOf(publicKey.length === 0 ? secret.expose() : publicKey);
}
