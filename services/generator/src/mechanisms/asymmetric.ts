import {
  constants,
  createPrivateKey,
  createPublicKey,
  decapsulate,
  diffieHellman,
  type KeyObject,
  privateDecrypt,
  sign,
} from "node:crypto";
import { promisify } from "node:util";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Scheme } from "../algorithms.ts";
import { KeyHolder } from "./key-holder.ts";
import type { KeyMechanism } from "./mechanism.ts";
import { readPeer, signingInput } from "./public-key.ts";

/** In a thread of OpenSSL's own: for signatures that would hold up the event loop. */
const signInThread = promisify(sign) as (
  hash: string | null,
  message: Uint8Array,
  options: object,
) => Promise<Buffer>;

/** Signs a digest: OpenSSL's interface in Node offers none, so the HSM does it with a passing copy. */
export type DigestSigner = (pkcs8: SecretBytes, digest: Uint8Array) => Promise<Uint8Array>;

export function softwareSignature(
  secret: SecretBytes,
  scheme: Scheme,
  signDigest: DigestSigner | undefined,
): KeyMechanism {
  const key = privateKeyOf(secret);
  const slow = scheme.kind === "slh-dsa" || scheme.kind === "rsa-pss" || scheme.kind === "rsa-pkcs1";
  return {
    sign(message, context) {
      const { hash, key: how } = signingInput(scheme, key.present, context);
      return slow ? signInThread(hash, message, how) : sign(hash, message, how);
    },
    ...(signDigest !== undefined && {
      async signDigest(digest: Uint8Array) {
        using pkcs8 = SecretBytes.take(key.present.export({ type: "pkcs8", format: "der" }));
        return await signDigest(pkcs8, digest);
      },
    }),
    destroy: () => key.drop(),
  };
}

export function softwareOaep(secret: SecretBytes, hash: string): KeyMechanism {
  const key = privateKeyOf(secret);
  return {
    openOaep(label, ciphertext) {
      try {
        return privateDecrypt(
          {
            key: key.present,
            padding: constants.RSA_PKCS1_OAEP_PADDING,
            oaepHash: hash,
            // An empty label and none are one (RFC 8017 section 7.1.2).
            ...(label.length > 0 && { oaepLabel: label }),
          },
          ciphertext,
        );
      } catch {
        // One answer for every failure (RFC 8017 section 7.1.2, note): the cause stays behind.
        throw new DomainError("integrity", "the ciphertext or its associated data was changed");
      }
    },
    destroy: () => key.drop(),
  };
}

export function softwareAgreement(secret: SecretBytes, scheme: Scheme): KeyMechanism {
  const key = privateKeyOf(secret);
  return {
    agree(peer) {
      const publicKey = readPeer(scheme, peer);
      try {
        return SecretBytes.take(diffieHellman({ privateKey: key.present, publicKey }));
      } catch (cause) {
        // A point of small order gives an all-zero secret (RFC 7748 section 6.1).
        throw new DomainError("invalid-argument", "no secret can be agreed with this public key", { cause });
      }
    },
    destroy: () => key.drop(),
  };
}

export function softwareEncapsulation(secret: SecretBytes): KeyMechanism {
  const key = privateKeyOf(secret);
  return {
    decapsulate(ciphertext) {
      try {
        return SecretBytes.take(decapsulate(key.present, ciphertext));
      } catch (cause) {
        // Only a wrong length is refused; any other change gives another secret (FIPS 203 section 6.3).
        throw new DomainError("invalid-argument", "the encapsulation has the wrong length", { cause });
      }
    },
    destroy: () => key.drop(),
  };
}

function privateKeyOf(secret: SecretBytes): KeyHolder {
  const bytes = secret.expose();
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new KeyHolder(createPrivateKey({ key, format: "der", type: "pkcs8" }));
}

/** The public half of a PKCS #8 private key, SubjectPublicKeyInfo in DER. */
export function publicHalf(secret: SecretBytes): Buffer {
  const key: KeyObject = createPublicKey(privateKeyOf(secret).present);
  return key.export({ type: "spki", format: "der" });
}
