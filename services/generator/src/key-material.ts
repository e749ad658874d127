import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { CurveName, Scheme } from "./algorithms.ts";
import { publicHalf } from "./mechanisms/asymmetric.ts";

/** Random bytes of the HSM and the operating system, combined so that neither alone decides. */
export type MixedRandom = (lengthBytes: number) => Promise<SecretBytes>;

/** Which source decided what a key became. */
export type RandomnessSource =
  | "hsm+operating-system"
  | "operating-system"
  | "hsm"
  | "imported"
  /** The public half alone. */
  | "imported-public";

export interface MadeMaterial {
  /** Raw key bytes, or PKCS #8 in DER. Dispose of it. */
  secret: SecretBytes;
  /** SubjectPublicKeyInfo in DER; empty for symmetric keys. */
  publicKey: Buffer;
  source: RandomnessSource;
}

const generateInThread = promisify(generateKeyPair);

/** Material for `software` protection, from mixed randomness wherever a seed can be supplied. */
export async function makeMaterial(scheme: Scheme, random: MixedRandom): Promise<MadeMaterial> {
  switch (scheme.kind) {
    case "aes-gcm":
    case "aes-kwp":
    case "hmac": {
      const secret = await random(scheme.keyBytes);
      return { secret, publicKey: Buffer.alloc(0), source: "hsm+operating-system" };
    }
    case "ecdsa":
    case "ecdh":
      return seeded(await ecPrivateKey(scheme.curve, random));
    case "ed25519":
    case "x25519":
      return seeded(await fromSeed(seedForms[scheme.kind], random));
    case "ml-kem":
    case "ml-dsa":
      return seeded(await fromSeed(seedForms[scheme.parameters], random));
    case "rsa-pss":
    case "rsa-pkcs1":
    case "rsa-oaep":
      return fromOpenSsl(() =>
        generateInThread("rsa", { modulusLength: scheme.modulusBits, publicExponent: 65_537 }),
      );
    case "slh-dsa":
      // OpenSSL takes no SLH-DSA seed: its private key holds the tree's root, which it computes itself.
      return fromOpenSsl(() => generateInThread(scheme.parameters as "ed25519"));
  }
}

function seeded(secret: SecretBytes): MadeMaterial {
  return { secret, publicKey: publicHalf(secret), source: "hsm+operating-system" };
}

async function fromOpenSsl(
  generate: () => Promise<{ privateKey: KeyObject; publicKey: KeyObject }>,
): Promise<MadeMaterial> {
  const { privateKey, publicKey } = await generate();
  return {
    secret: SecretBytes.take(privateKey.export({ type: "pkcs8", format: "der" })),
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    source: "operating-system",
  };
}

interface SeedForm {
  /** DER of the PKCS #8 up to the seed itself. */
  prefix: Buffer;
  seedBytes: number;
}

const seedForms: Record<string, SeedForm> = {
  // RFC 8410 section 7.
  ed25519: { prefix: Buffer.from("302e020100300506032b657004220420", "hex"), seedBytes: 32 },
  x25519: { prefix: Buffer.from("302e020100300506032b656e04220420", "hex"), seedBytes: 32 },
  // RFC 9935 and RFC 9881, the seed-only choice: FIPS 203's d ‖ z, FIPS 204's ξ.
  "ml-kem-768": { prefix: Buffer.from("3054020100300b060960864801650304040204428040", "hex"), seedBytes: 64 },
  "ml-kem-1024": {
    prefix: Buffer.from("3054020100300b060960864801650304040304428040", "hex"),
    seedBytes: 64,
  },
  "ml-dsa-44": { prefix: Buffer.from("3034020100300b060960864801650304031104228020", "hex"), seedBytes: 32 },
  "ml-dsa-65": { prefix: Buffer.from("3034020100300b060960864801650304031204228020", "hex"), seedBytes: 32 },
  "ml-dsa-87": { prefix: Buffer.from("3034020100300b060960864801650304031304228020", "hex"), seedBytes: 32 },
};

async function fromSeed(form: SeedForm | undefined, random: MixedRandom): Promise<SecretBytes> {
  if (form === undefined) throw new DomainError("internal", "an algorithm without a form for its seed");
  using seed = await random(form.seedBytes);
  return joined(form.prefix, seed);
}

interface Curve {
  /** DER of the PKCS #8 with RFC 5915's ECPrivateKey, up to the scalar itself; the point is left out. */
  prefix: Buffer;
  /** The order of the base point (SP 800-186 section 3.2.1). */
  order: Buffer;
  /** Bits of the first byte that a scalar below the order may have. */
  firstByteMask: number;
}

const curves: Record<CurveName, Curve> = {
  "P-256": {
    prefix: Buffer.from("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420", "hex"),
    order: Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex"),
    firstByteMask: 0xff,
  },
  "P-384": {
    prefix: Buffer.from("304e020100301006072a8648ce3d020106052b81040022043730350201010430", "hex"),
    order: Buffer.from(
      "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
      "hex",
    ),
    firstByteMask: 0xff,
  },
  "P-521": {
    prefix: Buffer.from("3060020100301006072a8648ce3d020106052b81040023044930470201010442", "hex"),
    order: Buffer.from(
      "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
      "hex",
    ),
    firstByteMask: 0x01,
  },
};

/** One draw in 2^32 fails on P-256; that many in a row do not happen with a source that works. */
const drawsMax = 16;

/** FIPS 186-5 A.2.2, testing candidates: no arithmetic on the scalar, and so no copies of it in big integers. */
async function ecPrivateKey(name: CurveName, random: MixedRandom): Promise<SecretBytes> {
  const { firstByteMask, order, prefix } = curves[name];
  for (let draw = 0; draw < drawsMax; draw += 1) {
    using candidate = await random(order.length);
    const scalar = candidate.expose();
    scalar[0] = scalar[0]! & firstByteMask;
    const zero = scalar.every((byte) => byte === 0);
    // A.2.2 takes c ≤ n − 2 and d = c + 1: the same set as 1 ≤ d ≤ n − 1.
    if (!zero && Buffer.compare(scalar, order) < 0) return joined(prefix, candidate);
  }
  throw new DomainError("unavailable", "the random source gives no usable private key", {
    hint: "see the HSM's health: claviger status",
  });
}

function joined(prefix: Buffer, secret: SecretBytes): SecretBytes {
  const whole = SecretBytes.allocate(prefix.length + secret.length);
  whole.expose().set(prefix);
  whole.expose().set(secret.expose(), prefix.length);
  return whole;
}
