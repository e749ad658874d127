import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import { type AlgorithmRow, publicOperations, type Scheme } from "./algorithms.ts";
import type { MadeMaterial } from "./key-material.ts";

/** What comes from elsewhere: raw bytes or PKCS #8 in DER, or SubjectPublicKeyInfo in DER alone. */
export type Imported = { secret: SecretBytes } | { publicKey: Uint8Array };

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
  requireFit(scheme, key);
  return {
    secret: SecretBytes.take(key.export({ type: "pkcs8", format: "der" })),
    publicKey: createPublicKey(key).export({ type: "spki", format: "der" }),
    source: "imported",
  };
}

/**
 * A public half that was made elsewhere, encoded anew. Reading it checks a point against its curve.
 * @throws DomainError `invalid-argument` where it is something else, or of no use by itself
 */
export function readImportedPublicKey(row: AlgorithmRow, publicKey: Uint8Array): Buffer {
  if (publicOperations(row).every((operation) => operation === "public-key")) {
    throw new DomainError(
      "invalid-argument",
      "nothing can be done with a public half alone of this algorithm",
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(publicKey), format: "der", type: "spki" });
  } catch (cause) {
    throw new DomainError(
      "invalid-argument",
      "the public key is not a SubjectPublicKeyInfo in DER, or is not valid",
      {
        hint: "openssl pkey -pubin -in key.pem -outform DER -out key.der",
        cause,
      },
    );
  }
  requireFit(row.scheme, key);
  const encoded = key.export({ type: "spki", format: "der" });
  // OpenSSL does not mind bytes after the key's end. A point may have come compressed, and be longer now.
  if (publicKey.length > encoded.length) {
    throw new DomainError("invalid-argument", "there is something after the public key's end");
  }
  return encoded;
}

/** @throws DomainError `invalid-argument` */
function requireFit(scheme: Scheme, key: KeyObject): void {
  if (fits(scheme, key)) return;
  throw new DomainError("invalid-argument", "the imported key is one for another algorithm", {
    hint: `it is a key of type ${key.asymmetricKeyType}`,
  });
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
