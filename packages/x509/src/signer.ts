import { DomainError } from "@claviger/domain-error";
import { bitString, derNull, oid, sequence } from "./der.ts";
import { ecdsaDerToRaw } from "./ecdsa-signature.ts";
import { oids } from "./oids.ts";

/** Whoever holds the CA's key; in Claviger that is the generator, on the far side of a call. */
export interface CertificateSigner {
  readonly algorithm: SignerAlgorithm;
  /** DER of the CA's public key. */
  readonly subjectPublicKeyInfo: Uint8Array;
  /** Hashes the bytes as the algorithm says and signs them; ECDSA answers with a DER Ecdsa-Sig-Value. */
  sign(tbs: Uint8Array): Promise<Uint8Array>;
}

/** Without parameters, not with NULL ones (RFC 5758 section 3.2). */
export const ecdsaSha256Identifier = sequence([oid(oids.ecdsaWithSha256)]);

interface SignatureForm {
  identifier: Uint8Array;
  hash: "sha256" | "sha384";
  /** Of each of the two numbers of an ECDSA signature; absent for RSA. */
  componentBytes?: number;
}

/** What Claviger's CAs sign with. */
export const signerAlgorithms = {
  "ecdsa-p256-sha256": { identifier: ecdsaSha256Identifier, hash: "sha256", componentBytes: 32 },
  "ecdsa-p384-sha384": {
    identifier: sequence([oid(oids.ecdsaWithSha384)]),
    hash: "sha384",
    componentBytes: 48,
  },
  // RFC 4055 section 5: the parameters of RSA must be NULL.
  "rsa-sha256": { identifier: sequence([oid(oids.rsaWithSha256), derNull()]), hash: "sha256" },
} as const satisfies Record<string, SignatureForm>;

export type SignerAlgorithm = keyof typeof signerAlgorithms;

/** The AlgorithmIdentifier of a signer's signatures. */
export function signatureIdentifier({ algorithm }: CertificateSigner): Uint8Array {
  if (!Object.hasOwn(signerAlgorithms, algorithm)) {
    throw new DomainError(
      "invalid-argument",
      `a signer's algorithm is one of ${Object.keys(signerAlgorithms).join(", ")}`,
    );
  }
  return signerAlgorithms[algorithm].identifier;
}

/** The `SEQUENCE { tbs, algorithm, signature }` that certificates and CRLs share. */
export async function assembleSigned(tbs: Uint8Array, signer: CertificateSigner): Promise<Uint8Array> {
  return attachSignature(tbs, signer, await signer.sign(tbs));
}

/** The same for a signature that was made among many. */
export function attachSignature(
  tbs: Uint8Array,
  signer: CertificateSigner,
  signature: Uint8Array,
  ...after: Uint8Array[]
): Uint8Array {
  const identifier = signatureIdentifier(signer);
  const form: SignatureForm = signerAlgorithms[signer.algorithm];
  try {
    if (form.componentBytes !== undefined) ecdsaDerToRaw(signature, form.componentBytes);
    else if (signature.length < 256) throw new Error("shorter than any RSA key that signs here");
  } catch (error) {
    throw new DomainError(
      "internal",
      `the certificate signer answered with something that is no signature of ${signer.algorithm}`,
      { cause: error },
    );
  }
  return sequence([tbs, identifier, bitString(signature), ...after]);
}
