import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Scheme } from "./algorithms.ts";
import type { MadeMaterial } from "./key-material.ts";

const hmacBytesMax = 128;
const namedCurves = { "P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1" } as const;

/**
 * Material that was made elsewhere, as what this algorithm's keys are made of.
 * @throws DomainError `invalid-argument` where it is something else
 */
export function readImported(scheme: Scheme, material: SecretBytes): MadeMaterial {
  if ("keyBytes" in scheme) {
    const most = scheme.kind === "hmac" ? hmacBytesMax : scheme.keyBytes;
    if (material.length < scheme.keyBytes || material.length > most) {
      const wanted = most === scheme.keyBytes ? `${most}` : `${scheme.keyBytes} to ${most}`;
      throw new DomainError(
        "invalid-argument",
        `this algorithm's key has ${wanted} bytes, not ${material.length}`,
      );
    }
    const secret = SecretBytes.allocate(material.length);
    secret.expose().set(material.expose());
    return { secret, publicKey: Buffer.alloc(0), source: "imported" };
  }
  const key = readPrivateKey(material);
  if (!fits(scheme, key)) {
    throw new DomainError("invalid-argument", "the imported key is one for another algorithm", {
      hint: `it is a key of type ${key.asymmetricKeyType}`,
    });
  }
  return {
    secret: SecretBytes.take(key.export({ type: "pkcs8", format: "der" })),
    publicKey: createPublicKey(key).export({ type: "spki", format: "der" }),
    source: "imported",
  };
}

function readPrivateKey(material: SecretBytes): KeyObject {
  const bytes = material.expose();
  try {
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return createPrivateKey({ key, format: "der", type: "pkcs8" });
  } catch {
    // The cause could quote the key.
    throw new DomainError("invalid-argument", "the imported key is not a PKCS #8 private key in DER", {
      hint: "openssl pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der",
    });
  }
}

function fits(scheme: Scheme, key: KeyObject): boolean {
  switch (scheme.kind) {
    case "ecdsa":
    case "ecdh":
      return (
        key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === namedCurves[scheme.curve]
      );
    case "rsa-pss":
    case "rsa-pkcs1":
    case "rsa-oaep":
      return (
        key.asymmetricKeyType === "rsa" && key.asymmetricKeyDetails?.modulusLength === scheme.modulusBits
      );
    case "ml-kem":
    case "ml-dsa":
    case "slh-dsa":
      return (key.asymmetricKeyType as string) === scheme.parameters;
    default:
      return key.asymmetricKeyType === scheme.kind;
  }
}
