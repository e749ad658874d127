import { createHash } from "node:crypto";
import { canonicalJson } from "@claviger/audit-record";
import type { RandomnessSource } from "./key-material.ts";
import type { Validation } from "./key-validation.ts";
import type { MaterialBinding } from "./material-envelope.ts";

/** Signs every generation record, its own too. */
export const attestationKey = "system/attestation";

export interface GenerationFacts {
  binding: MaterialBinding;
  /** SubjectPublicKeyInfo in DER; empty for symmetric keys. */
  publicKey: Buffer;
  source: RandomnessSource;
  validations: readonly Validation[];
  /** The HSM's product and firmware, as the module reports them. */
  module: string;
  time: Date;
  /** The identity for which the version was made. */
  requester: string;
}

export interface SignedRecord {
  /** JSON. */
  record: Buffer;
  /** DER ECDSA-Sig-Value over SHA-256 of the record. */
  signature: Uint8Array;
  signerVersion: number;
}

const recordVersion = 1;

/**
 * How a version came to be (docs/formats.md): canonical JSON, so that what was signed can be made again of
 * its facts. That it exists says that the source's health tests had passed.
 */
export function buildGenerationRecord(facts: GenerationFacts): Buffer {
  const { binding, module, publicKey, requester, source, time, validations } = facts;
  const text = canonicalJson({
    v: recordVersion,
    name: binding.name,
    keyId: binding.keyId,
    version: binding.version,
    algorithm: binding.algorithm,
    purpose: binding.purpose,
    protection: binding.protection,
    exportable: binding.exportable,
    randomness: source,
    healthTests: "passed",
    validation: validations.join(" "),
    module,
    openssl: process.versions.openssl,
    publicKeySha256:
      publicKey.length === 0 ? undefined : createHash("sha256").update(publicKey).digest("base64"),
    time: time.toISOString(),
    requester,
  });
  return Buffer.from(text, "utf8");
}
