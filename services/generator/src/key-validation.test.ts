import { generateKeyPairSync, randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { type Algorithm, algorithmRow, algorithms } from "./algorithms.ts";
import { makeMaterial } from "./key-material.ts";
import { hasRocaFingerprint, validateNewKey } from "./key-validation.ts";
import { softwareMechanism } from "./mechanisms/software.ts";

async function made(algorithm: Algorithm) {
  const row = algorithmRow(algorithm);
  const random = async (lengthBytes: number) => SecretBytes.take(randomBytes(lengthBytes));
  const { publicKey, secret } = await makeMaterial(row.scheme, random);
  using material = secret;
  return { ...row, publicKey, mechanism: softwareMechanism(row, material) };
}

const asymmetric = (Object.keys(algorithms) as Algorithm[]).filter(
  (algorithm) => !/aes|hmac|4096/.test(algorithm),
);

test.each(asymmetric)(
  "a key for %s is tried with its public half, and not with another",
  async (algorithm) => {
    const [one, other] = [await made(algorithm), await made(algorithm)];
    expect(await validateNewKey(one.scheme, one.mechanism, one.publicKey)).toContain("pairwise-consistency");
    await expect(validateNewKey(one.scheme, one.mechanism, other.publicKey)).rejects.toThrow();
  },
);

test("an RSA key of another size or exponent, or with ROCA's fingerprint, is refused", async () => {
  const { mechanism, scheme } = await made("rsa-pss-3072");
  for (const options of [
    { modulusLength: 2048, publicExponent: 65_537 },
    { modulusLength: 3072, publicExponent: 3 },
  ]) {
    const { publicKey } = generateKeyPairSync("rsa", options);
    const spki = publicKey.export({ type: "spki", format: "der" });
    await expect(validateNewKey(scheme, mechanism, spki)).rejects.toThrow("must not have");
  }
  // A power of 65537, modulo every prime, and a number that is none.
  expect(hasRocaFingerprint(65_537n ** 9n)).toBe(true);
  expect(hasRocaFingerprint(65_537n ** 9n + 2n)).toBe(false);
  for (let count = 0; count < 20; count += 1) {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const modulus = BigInt(
      `0x${Buffer.from(publicKey.export({ format: "jwk" }).n!, "base64url").toString("hex")}`,
    );
    expect(hasRocaFingerprint(modulus)).toBe(false);
  }
});
