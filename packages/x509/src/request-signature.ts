import { constants, type KeyObject, verify } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { contextTag, derTags } from "./der.ts";
import { createDerReader, type DerReader, derToNumber, derToOid, readDer } from "./der-reader.ts";
import { oids } from "./oids.ts";

type Hash = "sha256" | "sha384" | "sha512";
type KeyFamily = "ec" | "rsa" | "ed25519";

const hashes: Record<string, Hash> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

const algorithms: Record<string, { family: KeyFamily; hash: Hash | null }> = {
  [oids.ecdsaWithSha256]: { family: "ec", hash: "sha256" },
  "1.2.840.10045.4.3.3": { family: "ec", hash: "sha384" },
  "1.2.840.10045.4.3.4": { family: "ec", hash: "sha512" },
  "1.2.840.113549.1.1.11": { family: "rsa", hash: "sha256" },
  "1.2.840.113549.1.1.12": { family: "rsa", hash: "sha384" },
  "1.2.840.113549.1.1.13": { family: "rsa", hash: "sha512" },
  [oids.ed25519]: { family: "ed25519", hash: null },
};

/** md2, md4, md5 and SHA-1 with RSA, ECDSA with SHA-1. */
const brokenAlgorithms = new Set([
  "1.2.840.113549.1.1.2",
  "1.2.840.113549.1.1.3",
  "1.2.840.113549.1.1.4",
  "1.2.840.113549.1.1.5",
  "1.2.840.10045.4.1",
]);

const what = "the signature's algorithm";

export interface RequestSignature {
  key: KeyObject;
  /** DER of the AlgorithmIdentifier. */
  algorithm: Uint8Array;
  /** The bytes that were signed, as they came. */
  signed: Uint8Array;
  signature: Uint8Array;
}

/**
 * Proof that the sender holds the private key.
 *
 * @throws DomainError `invalid-argument` where the algorithm is refused or the signature is not true.
 */
export function verifyRequestSignature({ key, algorithm, signed, signature }: RequestSignature): void {
  const reader = createDerReader(readDer(algorithm, what, derTags.sequence).content, what);
  const type = derToOid(reader.next(derTags.oid, "its identifier"), what);
  if (brokenAlgorithms.has(type)) throw weakHash();
  const scheme = type === oids.rsassaPss ? readPss(reader) : readPlain(type, reader);
  if (scheme.family !== key.asymmetricKeyType) {
    throw refuse("the signature's algorithm does not belong to the public key's type");
  }
  const padding =
    scheme.saltBytes === undefined ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_PSS_PADDING;
  const options = {
    key,
    ...(scheme.family === "rsa" ? { padding } : {}),
    ...(scheme.saltBytes === undefined ? {} : { saltLength: scheme.saltBytes }),
  };
  if (!isTrue(scheme.hash, signed, options, signature)) {
    throw refuse(
      "the request's signature is not true",
      "Sign the request with the private key that it is for.",
    );
  }
}

function isTrue(
  hash: Hash | null,
  signed: Uint8Array,
  options: { key: KeyObject },
  signature: Uint8Array,
): boolean {
  try {
    return verify(hash, signed, options, signature);
  } catch {
    // OpenSSL throws for some signatures that cannot be of this key; they are as untrue as others.
    return false;
  }
}

interface Scheme {
  family: KeyFamily;
  hash: Hash | null;
  saltBytes?: number;
}

function readPlain(type: string, reader: DerReader): Scheme {
  const scheme = algorithms[type];
  if (scheme === undefined) {
    throw refuse(
      "the signature's algorithm is not accepted",
      "Sign with ECDSA, RSA or Ed25519, and SHA-256 or longer.",
    );
  }
  // RFC 4055 section 5: for RSA NULL, or absent and still to be accepted. ECDSA (RFC 5758 section 3.2)
  // and Ed25519 (RFC 8410 section 3) have no parameters.
  if (scheme.family === "rsa") reader.optional(derTags.null);
  reader.end();
  return scheme;
}

/** RSASSA-PSS-params (RFC 4055 section 3.1), whose defaults all mean SHA-1. */
function readPss(reader: DerReader): Scheme {
  const parameters = reader.optional(derTags.sequence);
  reader.end();
  if (parameters === undefined) throw weakHash();
  const fields = createDerReader(parameters.content, what);
  const hashField = fields.optional(contextTag(0, true));
  const maskField = fields.optional(contextTag(1, true));
  const saltField = fields.optional(contextTag(2, true));
  const trailerField = fields.optional(contextTag(3, true));
  fields.end();
  if (hashField === undefined || maskField === undefined) throw weakHash();
  const hash = readHash(hashField.content);
  const mask = createDerReader(readDer(maskField.content, what, derTags.sequence).content, what);
  const maskType = derToOid(mask.next(derTags.oid, "the mask's identifier"), what);
  const maskHash = mask.next(derTags.sequence, "the mask's hash");
  mask.end();
  if (maskType !== oids.mgf1 || readHash(maskHash.encoded) !== hash) {
    throw refuse("the PSS signature's mask is not MGF1 with the signature's own hash");
  }
  if (
    trailerField !== undefined &&
    derToNumber(readDer(trailerField.content, what, derTags.integer), what) !== 1
  ) {
    throw refuse("the PSS signature's trailer field is not 1");
  }
  const saltBytes =
    saltField === undefined ? 20 : derToNumber(readDer(saltField.content, what, derTags.integer), what);
  if (saltBytes > 1024) throw refuse("the PSS signature's salt is longer than any key allows");
  return { family: "rsa", hash, saltBytes };
}

function readHash(algorithm: Uint8Array): Hash {
  const reader = createDerReader(readDer(algorithm, what, derTags.sequence).content, what);
  const hash = hashes[derToOid(reader.next(derTags.oid, "the hash"), what)];
  reader.optional(derTags.null);
  reader.end();
  if (hash === undefined) throw weakHash();
  return hash;
}

function weakHash(): DomainError {
  return refuse(
    "the request is signed with a hash that is broken or not accepted",
    "Use SHA-256, SHA-384 or SHA-512.",
  );
}

function refuse(message: string, hint?: string): DomainError {
  return new DomainError("invalid-argument", message, { hint });
}
