import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { describe, expect, test } from "vitest";
import { type Algorithm, algorithmRow, algorithms } from "../algorithms.ts";
import { type MixedRandom, makeMaterial } from "../key-material.ts";
import { encapsulateTo, encryptOaep, oaepPlaintextBytesMax, verifySignature } from "./public-key.ts";
import { softwareMechanism } from "./software.ts";

const random: MixedRandom = async (lengthBytes) => SecretBytes.take(randomBytes(lengthBytes));
const message = Buffer.from("what is protected");

async function made(algorithm: Algorithm) {
  const { scheme } = algorithmRow(algorithm);
  const material = await makeMaterial(scheme, random);
  using secret = material.secret;
  const mechanism = softwareMechanism(algorithmRow(algorithm), secret);
  const publicKey =
    material.publicKey.length === 0
      ? undefined
      : createPublicKey({ key: material.publicKey, format: "der", type: "spki" });
  return { mechanism, publicKey: publicKey!, scheme, source: material.source };
}

const named = Object.keys(algorithms) as Algorithm[];
const withPurpose = (purpose: string): Algorithm[] =>
  named.filter((algorithm) => algorithmRow(algorithm).purpose === purpose && !algorithm.endsWith("4096"));

describe("software keys, made and used for every algorithm", () => {
  test.each(withPurpose("sign-verify"))(
    "%s signs what its public key verifies, and nothing else",
    async (algorithm) => {
      const { mechanism, publicKey, scheme } = await made(algorithm);
      const signature = await mechanism.sign!(message);
      expect(verifySignature(scheme, publicKey, message, signature)).toBe(true);
      expect(verifySignature(scheme, publicKey, Buffer.from("other"), signature)).toBe(false);
      const changed = Buffer.from(signature);
      changed[changed.length >> 1]! ^= 1;
      expect(verifySignature(scheme, publicKey, message, changed)).toBe(false);
      const other = await made(algorithm);
      expect(verifySignature(scheme, other.publicKey, message, signature)).toBe(false);
      mechanism.destroy();
      await expect(async () => mechanism.sign!(message)).rejects.toMatchObject({ kind: "internal" });
    },
  );

  test.each(["aes-128-gcm", "aes-192-gcm", "aes-256-gcm"] as const)(
    "%s opens what it sealed",
    async (algorithm) => {
      const { mechanism } = await made(algorithm);
      const nonce = randomBytes(12);
      const [header, bound] = [Buffer.from("header"), Buffer.from("bound")];
      const whole = await mechanism.seal!(header, nonce, bound, message);
      const sealed = whole.subarray(header.length);
      expect(whole.subarray(0, header.length)).toEqual(header);
      expect(await mechanism.open!(header, nonce, bound, sealed)).toEqual(message);
      expect(() => mechanism.open!(header, nonce, Buffer.from("other"), sealed)).toThrow("was changed");
      mechanism.destroy();
      expect(() => mechanism.open!(header, nonce, bound, sealed)).toThrow("destroyed");
    },
  );

  test.each(withPurpose("mac"))("%s makes one tag of one message", async (algorithm) => {
    const { mechanism } = await made(algorithm);
    expect(await mechanism.mac!(message)).toEqual(await mechanism.mac!(message));
    expect(await mechanism.mac!(message)).not.toEqual(await mechanism.mac!(Buffer.from("other")));
  });

  test("rsa-oaep-3072 opens what was encrypted to it, by label, up to its bound", async () => {
    const { mechanism, publicKey, scheme } = await made("rsa-oaep-3072");
    if (scheme.kind !== "rsa-oaep") throw new Error("another scheme");
    const longest = randomBytes(oaepPlaintextBytesMax(scheme));
    expect(longest.length).toBe(318);
    for (const label of [Buffer.alloc(0), Buffer.from("label")]) {
      const ciphertext = encryptOaep(scheme, publicKey, label, longest);
      expect(await mechanism.openOaep!(label, ciphertext)).toEqual(longest);
      expect(() => mechanism.openOaep!(Buffer.from("another"), ciphertext)).toThrow("was changed");
    }
    expect(() => encryptOaep(scheme, publicKey, Buffer.alloc(0), randomBytes(319))).toThrow("at most 318");
  });

  test.each(withPurpose("key-agreement"))(
    "%s agrees with its peer, and with nobody on another curve",
    async (algorithm) => {
      const [ours, theirs] = [await made(algorithm), await made(algorithm)];
      const spki = (key: typeof ours.publicKey) => key.export({ type: "spki", format: "der" });
      using mine = await ours.mechanism.agree!(spki(theirs.publicKey));
      using yours = await theirs.mechanism.agree!(spki(ours.publicKey));
      expect(Buffer.from(mine.expose())).toEqual(Buffer.from(yours.expose()));
      const elsewhere = generateKeyPairSync("ec", { namedCurve: "P-521" }).publicKey;
      expect(() => ours.mechanism.agree!(spki(elsewhere))).toThrow("not on");
      expect(() => ours.mechanism.agree!(Buffer.from("no key"))).toThrow("SubjectPublicKeyInfo");
    },
  );

  test.each(withPurpose("encapsulation"))(
    "%s decapsulates what was encapsulated to it",
    async (algorithm) => {
      const { mechanism, publicKey } = await made(algorithm);
      const { ciphertext, sharedSecret } = encapsulateTo(publicKey);
      using opened = await mechanism.decapsulate!(ciphertext);
      expect(Buffer.from(opened.expose())).toEqual(Buffer.from(sharedSecret.expose()));
      ciphertext[0]! ^= 1;
      using other = await mechanism.decapsulate!(ciphertext);
      expect(Buffer.from(other.expose())).not.toEqual(Buffer.from(sharedSecret.expose()));
      expect(() => mechanism.decapsulate!(ciphertext.subarray(1))).toThrow("length");
    },
  );

  test("aes-256-kwp unwraps what it wrapped, and refuses the rest", async () => {
    const { mechanism } = await made("aes-256-kwp");
    using material = SecretBytes.take(randomBytes(20));
    const wrapped = await mechanism.wrap!(material);
    expect(wrapped.length).toBe(32);
    using back = await mechanism.unwrap!(wrapped);
    expect(Buffer.from(back.expose())).toEqual(Buffer.from(material.expose()));
    for (const wrong of [wrapped.subarray(8), Buffer.alloc(0), Buffer.alloc(32), wrapped.subarray(1)]) {
      expect(() => mechanism.unwrap!(wrong)).toThrow("was changed");
    }
  });
});

test("what a seed can be supplied for comes of both sources, and the rest says which one decided", async () => {
  const sources = new Map<string, string>();
  for (const algorithm of [
    "aes-256-gcm",
    "hmac-sha512",
    "ecdsa-p521",
    "ed25519",
    "x25519",
    "ml-kem-1024",
    "ml-dsa-87",
  ] as const)
    sources.set(algorithm, (await made(algorithm)).source);
  expect(new Set(sources.values())).toEqual(new Set(["hsm+operating-system"]));
  expect((await made("slh-dsa-sha2-128s")).source).toBe("operating-system");
  expect((await made("rsa-pss-2048")).source).toBe("operating-system");
});

test("the same seed gives the same key: the randomness that is supplied decides alone", async () => {
  const fixed: MixedRandom = async (lengthBytes) => {
    const bytes = new Uint8Array(new ArrayBuffer(lengthBytes)).fill(7);
    return SecretBytes.take(bytes);
  };
  for (const algorithm of [
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "ml-kem-768",
    "ml-dsa-44",
  ] as const) {
    const [one, two] = [
      await makeMaterial(algorithmRow(algorithm).scheme, fixed),
      await makeMaterial(algorithmRow(algorithm).scheme, fixed),
    ];
    expect(one.publicKey).toEqual(two.publicKey);
    expect(one.publicKey.length).toBeGreaterThan(0);
  }
});

test("a source that gives no private key below the curve's order is refused, not looped over", async () => {
  const stuck: MixedRandom = async (lengthBytes) => {
    const secret = SecretBytes.allocate(lengthBytes);
    secret.expose().fill(0xff);
    return secret;
  };
  for (const algorithm of ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521"] as const) {
    await expect(makeMaterial(algorithmRow(algorithm).scheme, stuck)).rejects.toMatchObject({
      kind: "unavailable",
    });
  }
});
