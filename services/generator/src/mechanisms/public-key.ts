import {
  constants,
  createPublicKey,
  encapsulate,
  type KeyObject,
  publicEncrypt,
  type SigningOptions,
  verify,
} from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Scheme } from "../algorithms.ts";

/** What needs no secret: verifying, encrypting to a public key, encapsulating. */

/** The salt is as long as the hash (RFC 8017 section 9.1, FIPS 186-5 section 5.4). */
const pssSaltBytes = 32;
const noContext = new Uint8Array(0);
/** AlgorithmIdentifier with the curve's name: parameters spelled out are not PKIX (RFC 5480 section 2.1.1). */
const namedCurves = {
  "P-256": Buffer.from("301306072a8648ce3d020106082a8648ce3d030107", "hex"),
  "P-384": Buffer.from("301006072a8648ce3d020106052b81040022", "hex"),
  "P-521": Buffer.from("301006072a8648ce3d020106052b81040023", "hex"),
} as const;
const curveNames = { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" } as const;

/**
 * How OpenSSL makes and checks a scheme's signatures; a `null` hash is the algorithm's own. Where the
 * defaults do, the key goes without options: Node takes twice the time for an ECDSA signature with them.
 */
export function signingInput(
  scheme: Scheme,
  key: KeyObject,
  context: Uint8Array = noContext,
): { hash: string | null; key: KeyObject | SigningKey } {
  switch (scheme.kind) {
    case "ecdsa":
      return { hash: scheme.hash, key };
    case "rsa-pss": {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return { hash: scheme.hash, key: { key, padding, saltLength: pssSaltBytes } };
    }
    case "rsa-pkcs1":
      return { hash: scheme.hash, key };
    case "ed25519":
      return { hash: null, key };
    case "ml-dsa":
    case "slh-dsa":
      return { hash: null, key: context.length === 0 ? key : { key, context } };
    default:
      throw new DomainError("internal", `a key for ${scheme.kind} was asked for a signature`);
  }
}

type SigningKey = SigningOptions & { key: KeyObject; context?: Uint8Array };

export function verifySignature(
  scheme: Scheme,
  publicKey: KeyObject,
  message: Uint8Array,
  signature: Uint8Array,
  context: Uint8Array = noContext,
): boolean {
  const { hash, key } = signingInput(scheme, publicKey, context);
  return verify(hash, message, key, signature);
}

/** The longest message of RSAES-OAEP (RFC 8017 section 7.1.1). */
export function oaepPlaintextBytesMax(scheme: Scheme & { kind: "rsa-oaep" }): number {
  return scheme.modulusBits / 8 - 2 * 32 - 2;
}

export function encryptOaep(
  scheme: Scheme & { kind: "rsa-oaep" },
  key: KeyObject,
  label: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const bytesMax = oaepPlaintextBytesMax(scheme);
  if (plaintext.length > bytesMax) {
    throw new DomainError(
      "invalid-argument",
      `RSA-OAEP with this key takes at most ${bytesMax} bytes, not ${plaintext.length}`,
      { hint: "encrypt the data with a key for aes-256-gcm, and that key with this one" },
    );
  }
  return publicEncrypt(
    {
      key,
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: scheme.hash,
      ...(label.length > 0 && { oaepLabel: label }),
    },
    plaintext,
  );
}

export function encapsulateTo(key: KeyObject): { ciphertext: Buffer; sharedSecret: SecretBytes } {
  const { ciphertext, sharedKey } = encapsulate(key);
  return { ciphertext, sharedSecret: SecretBytes.take(sharedKey) };
}

/**
 * A peer's public key for an agreement, on the curve of our own. Reading it checks that the point is on
 * the curve (SP 800-56A Rev. 3 section 5.6.2.3); P-256 and its kind have no points of small order.
 * @throws DomainError `invalid-argument`
 */
export function readPeer(scheme: Scheme, subjectPublicKeyInfo: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" });
  } catch (cause) {
    throw new DomainError("invalid-argument", "the peer's public key is not a SubjectPublicKeyInfo in DER", {
      hint: "openssl pkey -in key.pem -pubout -outform DER",
      cause,
    });
  }
  const fits =
    scheme.kind === "ecdh"
      ? key.asymmetricKeyType === "ec" &&
        key.asymmetricKeyDetails?.namedCurve === curveNames[scheme.curve] &&
        namesItsCurve(subjectPublicKeyInfo, namedCurves[scheme.curve])
      : key.asymmetricKeyType === "x25519";
  if (!fits) {
    const wanted = scheme.kind === "ecdh" ? scheme.curve : "X25519";
    throw new DomainError("invalid-argument", `the peer's public key is not on ${wanted}`);
  }
  return key;
}

/** The identifier comes first, after a header of two or three bytes. */
function namesItsCurve(subjectPublicKeyInfo: Uint8Array, identifier: Buffer): boolean {
  return [2, 3].some((at) => identifier.equals(subjectPublicKeyInfo.subarray(at, at + identifier.length)));
}
