import { DomainError } from "@claviger/domain-error";
import { bitString, oid, sequence } from "./der.ts";
import { ecdsaDerToRaw } from "./ecdsa-signature.ts";
import { oids } from "./oids.ts";

/** Whoever holds the CA's key; in Claviger that is the generator, on the far side of a call. */
export interface CertificateSigner {
  readonly algorithm: "ecdsa-p256-sha256";
  /** DER of the CA's public key. */
  readonly subjectPublicKeyInfo: Uint8Array;
  /** Hashes the bytes with SHA-256 and signs them; answers with a DER Ecdsa-Sig-Value. */
  sign(tbs: Uint8Array): Promise<Uint8Array>;
}

/** Without parameters, not with NULL ones (RFC 5758 section 3.2). */
export const ecdsaSha256Identifier = sequence([oid(oids.ecdsaWithSha256)]);

/** The `SEQUENCE { tbs, algorithm, signature }` that certificates and CRLs share. */
export async function assembleSigned(tbs: Uint8Array, signer: CertificateSigner): Promise<Uint8Array> {
  if (signer.algorithm !== "ecdsa-p256-sha256") {
    throw new DomainError("invalid-argument", "the signer's algorithm is not ecdsa-p256-sha256");
  }
  const signature = await signer.sign(tbs);
  try {
    ecdsaDerToRaw(signature, 32);
  } catch (error) {
    throw new DomainError(
      "internal",
      "the certificate signer answered with something that is no P-256 signature",
      {
        cause: error,
      },
    );
  }
  return sequence([tbs, ecdsaSha256Identifier, bitString(signature)]);
}
