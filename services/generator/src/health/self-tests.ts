import { createHash, createPublicKey, type KeyObject, randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { ecdsaRawToDer } from "@claviger/x509";
import { type Algorithm, algorithmRow, algorithms } from "../algorithms.ts";
import { type MixedRandom, makeMaterial } from "../key-material.ts";
import { pairwiseConsistent } from "../key-validation.ts";
import { publicHalf } from "../mechanisms/asymmetric.ts";
import type { KeyMechanism } from "../mechanisms/mechanism.ts";
import { verifySignature } from "../mechanisms/public-key.ts";
import { softwareMechanism } from "../mechanisms/software.ts";
import * as known from "./known-answers.ts";

/**
 * Known-answer tests, run once before anything is served. Each gives true, or the algorithm is not served:
 * neither for new keys nor for those that are there.
 */
type SelfTest = () => Promise<boolean> | boolean;

export const seedPrefixes = {
  ed25519: "302e020100300506032b657004220420",
  x25519: "302e020100300506032b656e04220420",
  "P-256": "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420",
  "P-384": "304e020100301006072a8648ce3d020106052b81040022043730350201010430",
  "ml-kem-768": "3054020100300b060960864801650304040204428040",
  "ml-kem-1024": "3054020100300b060960864801650304040304428040",
  "ml-dsa-44": "3034020100300b060960864801650304031104228020",
  "ml-dsa-65": "3034020100300b060960864801650304031204228020",
  "ml-dsa-87": "3034020100300b060960864801650304031304228020",
} as const;

export function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}

export function secretOf(text: string): SecretBytes {
  return SecretBytes.take(hex(text));
}

/** Coordinates in hexadecimal. */
export function ecPublicKey(crv: string, x: string, y: string): KeyObject {
  const jwk = { kty: "EC", crv, x: hex(x).toString("base64url"), y: hex(y).toString("base64url") };
  return createPublicKey({ key: jwk, format: "jwk" });
}

function mechanismOf(algorithm: Algorithm, material: string): KeyMechanism {
  using secret = secretOf(material);
  return softwareMechanism(algorithmRow(algorithm), secret);
}

const none = Buffer.alloc(0);

async function aesGcm(algorithm: keyof typeof known.aesGcm): Promise<boolean> {
  const vector = known.aesGcm[algorithm];
  const mechanism = mechanismOf(algorithm, vector.key);
  const [nonce, bound, plaintext, sealed] = [
    hex(vector.nonce),
    hex(vector.associatedData),
    hex(vector.plaintext),
    hex(vector.sealed),
  ];
  const changed = Buffer.from(sealed);
  changed[0]! ^= 1;
  return (
    sealed.equals(await mechanism.seal!(none, nonce, bound, plaintext)) &&
    plaintext.equals(await mechanism.open!(none, nonce, bound, sealed)) &&
    (await refuses(() => mechanism.open!(none, nonce, bound, changed)))
  );
}

async function aesKwp(): Promise<boolean> {
  const mechanism = mechanismOf("aes-256-kwp", known.aesKwp.key);
  using material = secretOf(known.aesKwp.material);
  using opened = await mechanism.unwrap!(hex(known.aesKwp.wrapped));
  const wrapped = await mechanism.wrap!(material);
  return wrapped.equals(hex(known.aesKwp.wrapped)) && Buffer.from(opened.expose()).equals(material.expose());
}

async function hmac(algorithm: keyof typeof known.hmac.tags): Promise<boolean> {
  const tag = await mechanismOf(algorithm, known.hmac.key).mac!(hex(known.hmac.message));
  return tag.equals(hex(known.hmac.tags[algorithm]));
}

function ecdsa(algorithm: "ecdsa-p256" | "ecdsa-p384" | "ecdsa-p521"): boolean {
  const { crv, r, s, x, y } = known.ecdsa[algorithm];
  const key = ecPublicKey(crv, x, y);
  const signature = ecdsaRawToDer(hex(r + s));
  const { scheme } = algorithmRow(algorithm);
  return (
    verifySignature(scheme, key, hex(known.ecdsa.message), signature) &&
    !verifySignature(scheme, key, hex("00"), signature)
  );
}

async function ed25519(): Promise<boolean> {
  const mechanism = mechanismOf("ed25519", seedPrefixes.ed25519 + known.ed25519.seed);
  const signature = await mechanism.sign!(hex(known.ed25519.message));
  return hex(known.ed25519.signature).equals(signature);
}

async function x25519(): Promise<boolean> {
  const mechanism = mechanismOf("x25519", seedPrefixes.x25519 + known.x25519.scalar);
  using shared = await mechanism.agree!(hex(`302a300506032b656e032100${known.x25519.u}`));
  return hex(known.x25519.shared).equals(shared.expose());
}

async function ecdh(algorithm: "ecdh-p256" | "ecdh-p384"): Promise<boolean> {
  const { crv, scalar, shared, x, y } = known.ecdh[algorithm];
  const peer = ecPublicKey(crv, x, y).export({ type: "spki", format: "der" });
  using agreed = await mechanismOf(algorithm, seedPrefixes[crv] + scalar).agree!(peer);
  return hex(shared).equals(agreed.expose());
}

/** 00 01 02 … */
function countingSeed(bytes: number): string {
  return Buffer.from(Array.from({ length: bytes }, (_, at) => at)).toString("hex");
}

function latticePublicKey(parameters: keyof typeof known.latticeKeys, seedBytes: number): boolean {
  using secret = secretOf(seedPrefixes[parameters] + countingSeed(seedBytes));
  const digest = createHash("sha256").update(publicHalf(secret)).digest("hex");
  return digest === known.latticeKeys[parameters].publicKeySha256;
}

async function mlKem(algorithm: "ml-kem-768" | "ml-kem-1024"): Promise<boolean> {
  const { encapsulationBytes, rejected } = known.latticeKeys[algorithm];
  const mechanism = mechanismOf(algorithm, seedPrefixes[algorithm] + countingSeed(64));
  using secret = await mechanism.decapsulate!(Buffer.alloc(encapsulationBytes));
  return latticePublicKey(algorithm, 64) && hex(rejected).equals(secret.expose());
}

function rsaSignature(algorithm: Algorithm, kind: "rsa-pss" | "rsa-pkcs1"): boolean {
  const { publicKey, signature } = known.rsaSignatures[kind];
  const key = createPublicKey({ key: hex(publicKey), format: "der", type: "spki" });
  return verifySignature(
    algorithmRow(algorithm).scheme,
    key,
    hex(known.rsaSignatures.message),
    hex(signature),
  );
}

export async function refuses(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return false;
  } catch {
    return true;
  }
}

/** A key is made, used and thrown away: for what has no short known answer. */
async function consistent(algorithm: Algorithm, random: MixedRandom): Promise<boolean> {
  const row = algorithmRow(algorithm);
  const { publicKey, secret } = await makeMaterial(row.scheme, random);
  using material = secret;
  const mechanism = softwareMechanism(row, material);
  return await pairwiseConsistent(row.scheme, mechanism, publicKey);
}

function testOf(algorithm: Algorithm, random: MixedRandom): SelfTest {
  const { scheme } = algorithmRow(algorithm);
  switch (scheme.kind) {
    case "aes-gcm":
      return () => aesGcm(algorithm as keyof typeof known.aesGcm);
    case "aes-kwp":
      return aesKwp;
    case "hmac":
      return () => hmac(algorithm as keyof typeof known.hmac.tags);
    case "ecdsa":
      return async () => ecdsa(algorithm as "ecdsa-p256") && (await consistent(algorithm, random));
    case "ed25519":
      return ed25519;
    case "x25519":
      return x25519;
    case "ecdh":
      return () => ecdh(algorithm as "ecdh-p256" | "ecdh-p384");
    case "ml-kem":
      return () => mlKem(scheme.parameters);
    case "ml-dsa":
      return async () => latticePublicKey(scheme.parameters, 32) && (await consistent(algorithm, random));
    case "slh-dsa":
      return () => consistent(algorithm, random);
    case "rsa-pss":
    case "rsa-pkcs1":
      return () => rsaSignature(algorithm, scheme.kind);
    case "rsa-oaep":
      // A key costs too long at each start: each is tried with its own pair at birth, and at each load by its use.
      return () => true;
  }
}

/** The tests judge algorithms, not the HSM: they draw without it. */
const operatingSystemRandom: MixedRandom = async (lengthBytes) => SecretBytes.take(randomBytes(lengthBytes));

/** The algorithms that gave a wrong answer, or none at all. */
export async function runSelfTests(
  random: MixedRandom = operatingSystemRandom,
): Promise<ReadonlySet<Algorithm>> {
  const failed = new Set<Algorithm>();
  const named = Object.keys(algorithms) as Algorithm[];
  await Promise.all(
    named.map(async (algorithm) => {
      const passed = await Promise.resolve()
        .then(testOf(algorithm, random))
        .catch(() => false);
      if (!passed) failed.add(algorithm);
    }),
  );
  return failed;
}
