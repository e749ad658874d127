import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import type { AlgorithmRow } from "../algorithms.ts";
import type { Hsm } from "../hsm/port.ts";
import {
  type DigestSigner,
  softwareAgreement,
  softwareEncapsulation,
  softwareOaep,
  softwareSignature,
} from "./asymmetric.ts";
import { hsmSignatureOf, signDigestInHsm } from "./hsm.ts";
import type { KeyMechanism } from "./mechanism.ts";
import { aesGcm, aesKwp, hmac } from "./symmetric.ts";

/** OpenSSL with a key in this process's memory, held by a KeyObject outside the V8 heap. */
export function softwareMechanism(row: AlgorithmRow, secret: SecretBytes, hsm?: Hsm): KeyMechanism {
  const { scheme } = row;
  switch (scheme.kind) {
    case "aes-gcm":
      return aesGcm(secret);
    case "aes-kwp":
      return aesKwp(secret);
    case "hmac":
      return hmac(secret, scheme.hash);
    case "rsa-oaep":
      return softwareOaep(secret, scheme.hash);
    case "ecdh":
    case "x25519":
      return softwareAgreement(secret, scheme);
    case "ml-kem":
      return softwareEncapsulation(secret);
    default:
      return softwareSignature(secret, scheme, hsm && digestSigner(row, hsm));
  }
}

function digestSigner({ hsm: spec, scheme }: AlgorithmRow, hsm: Hsm): DigestSigner | undefined {
  if (spec === undefined || hsmSignatureOf(scheme) === undefined) return undefined;
  return async (pkcs8, digest) => {
    const lack = hsm.lacks(spec);
    if (lack !== undefined) {
      throw new DomainError("failed-precondition", `the HSM ${lack}, and digests are signed there`, {
        hint: "send the message itself",
      });
    }
    const key = await hsm.takeKey(spec, pkcs8);
    try {
      return await signDigestInHsm(hsm, key, scheme, digest);
    } finally {
      await hsm.destroyKey(key);
    }
  };
}
