import { createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Scheme } from "./algorithms.ts";
import { makeMaterial } from "./key-material.ts";
import { softwareAgreement } from "./mechanisms/asymmetric.ts";
import type { KeyMechanism } from "./mechanisms/mechanism.ts";
import { encapsulateTo, encryptOaep, verifySignature } from "./mechanisms/public-key.ts";

/** What a new key was tried with at birth, by name: the generation record says it. */
export type Validation = "symmetric" | "pairwise-consistency" | "public-key" | "rsa-parameters";

/** How long the message of a pairwise test is. */
const probeBytes = 32;

/**
 * Uses a new key on both of its sides (FIPS 186-5, SP 800-56A Rev. 3 section 5.6.2.1.4, FIPS 203 section 7.1):
 * what one side protects, the other must process.
 */
export async function pairwiseConsistent(
  scheme: Scheme,
  mechanism: KeyMechanism,
  publicKey: Buffer,
): Promise<boolean> {
  if (publicKey.length === 0) return true;
  const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
  const probe = randomBytes(probeBytes);
  switch (scheme.kind) {
    case "rsa-oaep": {
      const opened = await mechanism.openOaep!(
        new Uint8Array(0),
        encryptOaep(scheme, key, new Uint8Array(0), probe),
      );
      return probe.equals(opened);
    }
    case "ecdh":
    case "x25519":
      return agrees(scheme, mechanism, publicKey);
    case "ml-kem":
      return encapsulates(mechanism, key);
    default:
      return verifySignature(scheme, key, probe, await mechanism.sign!(probe));
  }
}

/** With a peer that is made for this and thrown away. */
async function agrees(scheme: Scheme, mechanism: KeyMechanism, publicKey: Buffer): Promise<boolean> {
  const random = async (lengthBytes: number) => SecretBytes.take(randomBytes(lengthBytes));
  const made = await makeMaterial(scheme, random);
  using peerSecret = made.secret;
  const peer = softwareAgreement(peerSecret, scheme);
  using ours = await mechanism.agree!(made.publicKey);
  using theirs = await peer.agree!(publicKey);
  return Buffer.from(ours.expose()).equals(theirs.expose());
}

async function encapsulates(mechanism: KeyMechanism, key: KeyObject): Promise<boolean> {
  const { ciphertext, sharedSecret } = encapsulateTo(key);
  using sent = sharedSecret;
  using opened = await mechanism.decapsulate!(ciphertext);
  return Buffer.from(opened.expose()).equals(sent.expose());
}

/** What is checked where the public half is all that there is. @throws DomainError `internal` */
export function validatePublicKey(scheme: Scheme, publicKey: Buffer): Validation[] {
  // Reading it checks a point against its curve (SP 800-56A Rev. 3 section 5.6.2.3.3) and a modulus' form.
  const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
  if (!("modulusBits" in scheme)) return ["public-key"];
  checkRsa(key, scheme.modulusBits);
  return ["public-key", "rsa-parameters"];
}

/** Everything that is checked of a new key. @throws DomainError `internal`: such a key is never registered */
export async function validateNewKey(
  scheme: Scheme,
  mechanism: KeyMechanism,
  publicKey: Buffer,
): Promise<Validation[]> {
  if (publicKey.length === 0) return ["symmetric"];
  const done: Validation[] = [...validatePublicKey(scheme, publicKey), "pairwise-consistency"];
  if (!(await pairwiseConsistent(scheme, mechanism, publicKey))) {
    throw new DomainError("internal", "a new key did not agree with its own public half");
  }
  return done.sort();
}

/** FIPS 186-5 section 5.1 and appendix A.1.1: size and exponent; and ROCA's fingerprint (CVE-2017-15361). */
function checkRsa(key: KeyObject, modulusBits: number): void {
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  const modulus = BigInt(
    `0x${Buffer.from(key.export({ format: "jwk" }).n ?? "", "base64url").toString("hex")}`,
  );
  if (modulusLength !== modulusBits || publicExponent !== 65_537n || hasRocaFingerprint(modulus)) {
    throw new DomainError("internal", "a new RSA key has a modulus or an exponent that it must not have");
  }
}

/** The primes of the fingerprint, as Nemec and others published them (CCS 2017). */
const rocaPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/** Whether a modulus is a power of 65537 modulo each of the primes: so only keys of the flawed library are. */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return rocaPrimes.every((prime) => {
    const residue = Number(modulus % BigInt(prime));
    let power = 1;
    do {
      if (power === residue) return true;
      power = (power * (65_537 % prime)) % prime;
    } while (power !== 1);
    return false;
  });
}
