import { createHash } from "node:crypto";
import type { Client } from "@claviger/client";
import type { CryptographyService } from "@claviger/proto/generator/v1/cryptography_pb.ts";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";
import { ensureHeldKey } from "@claviger/service";
import { type CertificateSigner, type SignerAlgorithm, signerAlgorithms } from "@claviger/x509";

export interface GeneratorClients {
  keys: Client<typeof KeyGenerationService>;
  cryptography: Client<typeof CryptographyService>;
  /** Storage's, where a CA's key is held against destruction before anything depends on it. */
  registry: Client<typeof KeyService>;
}

export interface SystemKey {
  name: string;
  version: number;
  subjectPublicKeyInfo: Uint8Array;
}

/** Makes a key of the PKI in the HSM, or finds the one that is there. */
export async function ensureKey(
  generator: GeneratorClients,
  { algorithm, name, reason }: { name: string; algorithm: string; reason: string },
): Promise<SystemKey> {
  await ensureHeldKey(
    { generator: generator.keys, registry: generator.registry },
    { name, algorithm, reason },
  );
  const { subjectPublicKeyInfo, version } = await generator.keys.getPublicKey({ name });
  return { name, version, subjectPublicKeyInfo };
}

/** A signature in the HSM. Only the digest travels: a revocation list may have 40 MB. */
export function signerOf(
  generator: GeneratorClients,
  name: string,
  version: number,
  key: { algorithm: SignerAlgorithm; subjectPublicKeyInfo: Uint8Array },
): CertificateSigner {
  const { hash } = signerAlgorithms[key.algorithm];
  return {
    ...key,
    async sign(tbs) {
      const digest = createHash(hash).update(tbs).digest();
      const { signature } = await generator.cryptography.sign({ name, version, digest });
      return signature;
    },
  };
}
