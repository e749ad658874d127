import type { KeyObject } from "node:crypto";
import { createPublicKey, hash, verify } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { isKeyName, parseNote } from "./note.ts";

/** The most keys that one note is checked against. */
export const verifierKeysMax = 100;

const verifierKeyCharactersMax = 4_096;

// C2SP signed-note, Signature types.
const typeEd25519 = 0x01;
const typeEcdsa = 0x02;

// A P-256 key in SPKI with a named curve and an uncompressed point (RFC 5480 section 2) has one length.
const p256SpkiBytes = 91;
const ed25519KeyBytes = 32;

/** A public key that may have signed a note. */
export interface VerifierKey {
  readonly name: string;
  /** Unsigned, 32 bits. With the name it says which signature lines are this key's. */
  readonly keyId: number;
  readonly algorithm: "ed25519" | "ecdsa-p256";
  readonly publicKey: KeyObject;
}

export interface VerifiedNote {
  /** With its final newline, as it was signed. */
  readonly text: string;
  /** The given keys that signed, each once, in the order of their signatures; never empty. */
  readonly signedBy: readonly VerifierKey[];
}

function malformed(message: string, cause?: unknown): DomainError {
  return new DomainError("invalid-argument", `malformed verifier key: ${message}`, { cause });
}

function firstFourBytes(preimage: Uint8Array): number {
  return hash("sha256", preimage, "buffer").readUInt32BE(0);
}

/**
 * The key ID of a type 0x02 key: the start of the SHA-256 of its SPKI DER, without name or type
 * (C2SP signed-note, Signature types).
 */
export function ecdsaKeyId(spki: Uint8Array): number {
  return firstFourBytes(spki);
}

function ed25519KeyId(name: string, key: Uint8Array): number {
  return firstFourBytes(Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(typeEd25519), key]));
}

function readP256(spki: Uint8Array): KeyObject {
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw malformed("the public key is not SPKI", cause);
  }
  if (publicKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw malformed("only P-256 keys are taken as ECDSA keys");
  }
  // The key ID hashes these bytes: a second encoding of one key would be a second key.
  const canonical = publicKey.export({ format: "der", type: "spki" });
  if (spki.length !== p256SpkiBytes || Buffer.compare(canonical, spki) !== 0) {
    throw malformed("the public key is not in its one DER form, named curve and uncompressed point");
  }
  return publicKey;
}

function readEd25519(key: Uint8Array): KeyObject {
  if (key.length !== ed25519KeyBytes) {
    throw malformed("an Ed25519 public key has 32 bytes");
  }
  const x = Buffer.from(key).toString("base64url");
  try {
    return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  } catch (cause) {
    throw malformed("the Ed25519 public key is refused", cause);
  }
}

function hexKeyId(keyId: number): string {
  return keyId.toString(16).padStart(8, "0");
}

/**
 * The text form of a P-256 key, `<name>+<key ID>+<base64(0x02 ‖ SPKI)>` (C2SP signed-note, Verifier keys).
 *
 * @param spki - the public key as SubjectPublicKeyInfo in DER
 */
export function formatVerifierKey(name: string, spki: Uint8Array): string {
  if (!isKeyName(name)) {
    throw malformed("the name is empty, or has a space, a plus or a control character");
  }
  readP256(spki);
  const material = encodeBase64(Buffer.concat([Uint8Array.of(typeEcdsa), spki]));
  const formatted = `${name}+${hexKeyId(ecdsaKeyId(spki))}+${material}`;
  if (formatted.length > verifierKeyCharactersMax) {
    throw malformed(`it has more than ${verifierKeyCharactersMax} characters`);
  }
  return formatted;
}

/** Reads a verifier key of type 0x01 (Ed25519) or 0x02 (ECDSA, P-256 alone) and checks its key ID. */
export function parseVerifierKey(formatted: string): VerifierKey {
  if (formatted.length > verifierKeyCharactersMax) {
    throw malformed(`it has more than ${verifierKeyCharactersMax} characters`);
  }
  // Neither name nor hex holds a plus, base64 may: only the first two separate.
  const [name = "", hex = "", ...rest] = formatted.split("+");
  const material = decodeBase64(rest.join("+"));
  if (!isKeyName(name) || !/^[0-9a-f]{8}$/.test(hex) || material === undefined || material.length < 2) {
    throw malformed("it is not <name>+<eight hex digits>+<base64>");
  }
  const keyBytes = material.subarray(1);
  let key: VerifierKey;
  if (material[0] === typeEcdsa) {
    const publicKey = readP256(keyBytes);
    key = { name, keyId: ecdsaKeyId(keyBytes), algorithm: "ecdsa-p256", publicKey };
  } else if (material[0] === typeEd25519) {
    const publicKey = readEd25519(keyBytes);
    key = { name, keyId: ed25519KeyId(name, keyBytes), algorithm: "ed25519", publicKey };
  } else {
    throw malformed("its signature type is neither Ed25519 (0x01) nor ECDSA (0x02)");
  }
  if (hexKeyId(key.keyId) !== hex) {
    throw malformed("its key ID does not belong to its key");
  }
  return key;
}

function keyLabel({ name, keyId }: { name: string; keyId: number }): string {
  return `${name}+${hexKeyId(keyId)}`;
}

function isSignatureBy(key: VerifierKey, text: Uint8Array, signature: Uint8Array): boolean {
  // OpenSSL takes the digest of Ed25519 from the key. An ECDSA signature is DER by default (dsaEncoding).
  return verify(key.algorithm === "ed25519" ? null : "sha256", text, key.publicKey, signature);
}

/**
 * Reads a note and verifies it against the keys given (C2SP signed-note, Signatures): signatures of other
 * keys are ignored, one of a given key that fails rejects the whole note, and so does having none.
 *
 * @throws DomainError `invalid-argument` for what is not a note, `integrity` where a signature fails or no
 * given key has signed.
 */
export function verifyNote(note: string | Uint8Array, verifierKeys: readonly VerifierKey[]): VerifiedNote {
  if (verifierKeys.length > verifierKeysMax) {
    throw new DomainError("invalid-argument", `a note is checked against at most ${verifierKeysMax} keys`);
  }
  const known = new Map<string, VerifierKey>();
  for (const key of verifierKeys) {
    if (known.has(keyLabel(key))) {
      throw new DomainError("invalid-argument", `two verifier keys are both ${keyLabel(key)}: give one`);
    }
    known.set(keyLabel(key), key);
  }
  const { text, signatures } = parseNote(note);
  const textBytes = Buffer.from(text);
  const signedBy = new Set<VerifierKey>();
  for (const signature of signatures) {
    const key = known.get(keyLabel(signature));
    if (key === undefined) {
      continue;
    }
    if (!isSignatureBy(key, textBytes, signature.signature)) {
      throw new DomainError("integrity", `the note's signature by ${keyLabel(key)} fails`, {
        hint: "the note was changed after it was signed, or was never signed by that key",
      });
    }
    signedBy.add(key);
  }
  if (signedBy.size === 0) {
    throw new DomainError("integrity", "the note has no signature by a known key", {
      hint: "check that the verifier key is that of the log, and of its present version",
    });
  }
  return { text, signedBy: [...signedBy] };
}
