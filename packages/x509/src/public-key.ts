import { createPublicKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { derTags } from "./der.ts";
import { createDerReader, type DerReader, derToBits, derToOid, readDer } from "./der-reader.ts";
import { oids } from "./oids.ts";
import { refuseWeakModulus } from "./weak-rsa.ts";

export const rsaModulusBitsMin = 2048;
/** Verification grows with the square of the modulus; past this a request is a way to keep us busy. */
export const rsaModulusBitsMax = 8192;
const rsaExponentMin = 65_537n;

export type KeyType = "ec-p256" | "ec-p384" | "ec-p521" | "ed25519" | `rsa-${number}`;

export interface LoadedPublicKey {
  keyType: KeyType;
  key: KeyObject;
}

const what = "the public key";

const curves: Record<string, { keyType: KeyType; pointBytes: number }> = {
  [oids.p256]: { keyType: "ec-p256", pointBytes: 65 },
  [oids.p384]: { keyType: "ec-p384", pointBytes: 97 },
  [oids.p521]: { keyType: "ec-p521", pointBytes: 133 },
};

/**
 * A SubjectPublicKeyInfo that Claviger certifies, loaded into node:crypto, which checks that a point
 * lies on its curve.
 *
 * @throws DomainError `invalid-argument` for any other key.
 */
export function loadPublicKey(subjectPublicKeyInfo: Uint8Array): LoadedPublicKey {
  const spki = createDerReader(readDer(subjectPublicKeyInfo, what, derTags.sequence).content, what);
  const algorithm = createDerReader(spki.next(derTags.sequence, "its algorithm").content, what);
  const bits = derToBits(spki.next(derTags.bitString, "the key itself"), what);
  spki.end();
  const type = derToOid(algorithm.next(derTags.oid, "its algorithm"), what);
  if (bits.unusedBits !== 0) throw refuse(`${what} is not a whole number of octets`);
  switch (type) {
    case oids.ecPublicKey: {
      const keyType = readCurve(algorithm, bits.bytes);
      return { keyType, key: load(subjectPublicKeyInfo) };
    }
    case oids.ed25519:
      // RFC 8410 section 3: parameters must be absent.
      algorithm.end();
      return { keyType: "ed25519", key: load(subjectPublicKeyInfo) };
    case oids.rsaEncryption: {
      // RFC 3279 section 2.3.1: parameters must be NULL.
      algorithm.next(derTags.null, "the NULL after an RSA key's algorithm");
      algorithm.end();
      const key = load(subjectPublicKeyInfo);
      return { keyType: checkRsa(key), key };
    }
    default:
      throw refuse(`${what} is of a type that is not certified`, "Use P-256, P-384, P-521, Ed25519 or RSA.");
  }
}

function readCurve(algorithm: DerReader, point: Uint8Array): KeyType {
  const parameters = algorithm.any("the curve");
  algorithm.end();
  // RFC 5480 section 2.1.1: named curves only. Parameters of one's own are how CVE-2020-0601 worked.
  if (parameters.tag !== derTags.oid) {
    throw refuse(`${what} spells out its curve instead of naming it`, "Make the key with a named curve.");
  }
  const curve = curves[derToOid(parameters, what)];
  if (curve === undefined)
    throw refuse(`${what} is on a curve that is not certified`, "Use P-256, P-384 or P-521.");
  // RFC 5480 section 2.2 leaves compressed points optional; many TLS peers cannot read them.
  if (point[0] !== 0x04 || point.length !== curve.pointBytes) {
    throw refuse(`${what} is not an uncompressed point of its curve`, "Export it with uncompressed points.");
  }
  return curve.keyType;
}

function checkRsa(key: KeyObject): KeyType {
  const { modulusLength: bits = 0, publicExponent: exponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (bits < rsaModulusBitsMin) {
    throw refuse(`the RSA key has ${bits} bits, fewer than ${rsaModulusBitsMin}`, "Use 3072 bits, or P-256.");
  }
  if (bits > rsaModulusBitsMax) throw refuse(`the RSA key has more than ${rsaModulusBitsMax} bits`);
  // FIPS 186-5 appendix A.1.1: an odd exponent between 2^16 and 2^256.
  if (exponent < rsaExponentMin || exponent % 2n === 0n || exponent >= 2n ** 256n) {
    throw refuse("the RSA key's public exponent is even, or less than 65537, or too large", "Use 65537.");
  }
  const { n = "" } = key.export({ format: "jwk" });
  refuseWeakModulus(BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`));
  return `rsa-${bits}`;
}

function load(subjectPublicKeyInfo: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(subjectPublicKeyInfo), format: "der", type: "spki" });
  } catch (error) {
    throw new DomainError("invalid-argument", `${what} cannot be loaded`, {
      hint: "Its numbers or its point are not valid for its type.",
      cause: error,
    });
  }
}

function refuse(message: string, hint?: string): DomainError {
  return new DomainError("invalid-argument", message, { hint });
}
