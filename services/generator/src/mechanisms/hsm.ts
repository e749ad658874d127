import { hash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { ecdsaRawToDer } from "@claviger/x509";
import type { Scheme } from "../algorithms.ts";
import type { Hsm, HsmKey, HsmSignature } from "../hsm/port.ts";
import type { KeyMechanism } from "./mechanism.ts";
import { readPeer } from "./public-key.ts";

const fieldBytes = { "P-256": 32, "P-384": 48, "P-521": 66 } as const;

/** Every operation happens in the HSM. Messages are hashed here: SoftHSM has no CKM_ECDSA_SHA256. */
export function hsmMechanism(
  hsm: Hsm,
  key: HsmKey,
  scheme: Scheme,
  onTrouble: (error: unknown) => void,
): KeyMechanism {
  const destroy = (): void => {
    hsm.destroyKey(key).catch(onTrouble);
  };
  switch (scheme.kind) {
    case "aes-gcm":
      return {
        seal: async (header, nonce, associatedData, plaintext) => {
          const bound = together(header, associatedData);
          return Buffer.concat([header, await hsm.sealAesGcm(key, nonce, bound, plaintext)]);
        },
        open: (header, nonce, associatedData, sealed) =>
          hsm.openAesGcm(key, nonce, together(header, associatedData), sealed),
        destroy,
      };
    case "hmac":
      return { mac: (message) => hsm.mac(key, scheme.hash, message), destroy };
    case "ecdsa":
    case "rsa-pss":
    case "rsa-pkcs1": {
      const signDigest = (digest: Uint8Array): Promise<Uint8Array> =>
        signDigestInHsm(hsm, key, scheme, digest);
      return {
        sign: (message) => signDigest(hash(scheme.hash, message, "buffer")),
        signDigest,
        destroy,
      };
    }
    case "ecdh":
      return {
        agree(peer) {
          const point = readPeer(scheme, peer).export({ format: "jwk" });
          const coordinates = [point.x, point.y].map((text) => Buffer.from(text ?? "", "base64url"));
          return hsm.deriveSecret(
            key,
            Buffer.concat([Buffer.of(4), ...coordinates]),
            fieldBytes[scheme.curve],
          );
        },
        destroy,
      };
    default:
      throw new DomainError("internal", `a key for ${scheme.kind} was loaded into the HSM`);
  }
}

function together(header: Uint8Array, associatedData: Uint8Array): Uint8Array {
  return associatedData.length === 0 ? header : Buffer.concat([header, associatedData]);
}

/** PKCS#11's form of a scheme; undefined where a digest is not what it signs. */
export function hsmSignatureOf(scheme: Scheme): HsmSignature | undefined {
  if (scheme.kind === "ecdsa") return { kind: "ecdsa" };
  if (scheme.kind === "rsa-pss" || scheme.kind === "rsa-pkcs1") return { kind: scheme.kind, hash: "sha256" };
  return undefined;
}

export function signDigestInHsm(
  hsm: Hsm,
  key: HsmKey,
  scheme: Scheme,
  digest: Uint8Array,
): Promise<Uint8Array> {
  const signature = hsmSignatureOf(scheme);
  if (signature === undefined) throw new DomainError("internal", `${scheme.kind} does not sign digests`);
  const signed = hsm.signDigest(key, signature, digest);
  return signature.kind === "ecdsa" ? signed.then(ecdsaRawToDer) : signed;
}
