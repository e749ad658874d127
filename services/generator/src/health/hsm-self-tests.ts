import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { type Algorithm, algorithmRow, algorithms } from "../algorithms.ts";
import type { Hsm, HsmKey, HsmKeySpec } from "../hsm/port.ts";
import { hsmSignatureOf, signDigestInHsm } from "../mechanisms/hsm.ts";
import { verifySignature } from "../mechanisms/public-key.ts";
import * as known from "./known-answers.ts";
import { ecPublicKey, hex, refuses, secretOf, seedPrefixes } from "./self-tests.ts";

/**
 * Known-answer tests of what the HSM's module carries out, as a caller of the port sees it: with keys that are
 * taken in for the length of the test. What the module lacks is not tested, since it is refused anyway.
 */
class HsmSelfTest {
  readonly #hsm: Hsm;
  readonly #algorithm: Algorithm;
  readonly #spec: HsmKeySpec;

  constructor(hsm: Hsm, algorithm: Algorithm, spec: HsmKeySpec) {
    this.#hsm = hsm;
    this.#algorithm = algorithm;
    this.#spec = spec;
  }

  async passes(): Promise<boolean> {
    const { scheme } = algorithmRow(this.#algorithm);
    switch (scheme.kind) {
      case "aes-gcm":
        return this.#aesGcm(known.aesGcm[this.#algorithm as keyof typeof known.aesGcm]);
      case "hmac":
        return this.#hmac(scheme.hash);
      case "ecdsa":
        return this.#ecdsa(this.#algorithm as "ecdsa-p256");
      case "ecdh":
        return this.#ecdh(this.#algorithm as "ecdh-p256");
      case "rsa-pss":
      case "rsa-pkcs1":
        return this.#rsaSignature(scheme.kind);
      default:
        // RSA-OAEP: a key costs too long at each start, and each is tried at its birth.
        return true;
    }
  }

  async #with<T>(material: SecretBytes, work: (key: HsmKey) => Promise<T>): Promise<T> {
    using secret = material;
    const key = await this.#hsm.takeKey(this.#spec, secret);
    try {
      return await work(key);
    } finally {
      await this.#hsm.destroyKey(key);
    }
  }

  async #aesGcm(vector: (typeof known.aesGcm)[keyof typeof known.aesGcm]): Promise<boolean> {
    const [nonce, bound] = [hex(vector.nonce), hex(vector.associatedData)];
    const [plaintext, sealed] = [hex(vector.plaintext), hex(vector.sealed)];
    const changed = Buffer.from(sealed);
    changed[0]! ^= 1;
    return this.#with(
      secretOf(vector.key),
      async (key) =>
        sealed.equals(await this.#hsm.sealAesGcm(key, nonce, bound, plaintext)) &&
        plaintext.equals(await this.#hsm.openAesGcm(key, nonce, bound, sealed)) &&
        (await refuses(() => this.#hsm.openAesGcm(key, nonce, bound, changed))),
    );
  }

  async #hmac(hash: keyof typeof known.longKeyHmac.tags): Promise<boolean> {
    const { key: material, message, tags } = known.longKeyHmac;
    return this.#with(secretOf(material), async (key) =>
      hex(tags[hash]).equals(await this.#hsm.mac(key, hash, hex(message))),
    );
  }

  /** The module knows a published signature, and OpenSSL one of the module's: a signature has no known answer. */
  async #ecdsa(algorithm: keyof typeof known.ecdsa & Algorithm): Promise<boolean> {
    const { crv, r, s, x, y } = known.ecdsa[algorithm as "ecdsa-p256"];
    const { scheme } = algorithmRow(algorithm);
    const message = hex(known.ecdsa.message);
    const digest = createHash((scheme as { hash: string }).hash)
      .update(message)
      .digest();
    const published = ecPublicKey(crv, x, y);
    const verify = (input: Uint8Array): Promise<boolean> =>
      this.#hsm.verifyDigest(published, { kind: "ecdsa" }, input, hex(r + s));
    const pair = generateKeyPairSync("ec", { namedCurve: crv });
    const material = SecretBytes.take(pair.privateKey.export({ type: "pkcs8", format: "der" }));
    const signed = await this.#with(material, (key) => signDigestInHsm(this.#hsm, key, scheme, digest));
    return (
      (await verify(digest)) &&
      !(await verify(createHash("sha512").update("another").digest().subarray(0, digest.length))) &&
      verifySignature(scheme, pair.publicKey, message, signed)
    );
  }

  async #ecdh(algorithm: keyof typeof known.ecdh): Promise<boolean> {
    const { crv, scalar, shared, x, y } = known.ecdh[algorithm];
    const point = Buffer.concat([Buffer.of(4), hex(x), hex(y)]);
    return this.#with(secretOf(seedPrefixes[crv] + scalar), async (key) => {
      using agreed = await this.#hsm.deriveSecret(key, point, hex(shared).length);
      return hex(shared).equals(agreed.expose());
    });
  }

  /** Verifying alone: a key of this size takes long to make, and each is tried at its birth. */
  async #rsaSignature(kind: "rsa-pss" | "rsa-pkcs1"): Promise<boolean> {
    const { publicKey, signature } = known.rsaSignatures[kind];
    const key = createPublicKey({ key: hex(publicKey), format: "der", type: "spki" });
    const digest = createHash("sha256").update(hex(known.rsaSignatures.message)).digest();
    const how = hsmSignatureOf(algorithmRow(this.#algorithm).scheme)!;
    const verify = (input: Uint8Array): Promise<boolean> =>
      this.#hsm.verifyDigest(key, how, input, hex(signature));
    return (await verify(digest)) && !(await verify(createHash("sha256").update("another").digest()));
  }
}

/** The algorithms that the HSM's module has and gave a wrong answer for, or none at all. */
export async function runHsmSelfTests(hsm: Hsm): Promise<ReadonlySet<Algorithm>> {
  const failed = new Set<Algorithm>();
  for (const algorithm of Object.keys(algorithms) as Algorithm[]) {
    const { hsm: spec } = algorithmRow(algorithm);
    if (spec === undefined || hsm.lacks(spec) !== undefined) continue;
    const passed = await new HsmSelfTest(hsm, algorithm, spec).passes().catch(() => false);
    if (!passed) failed.add(algorithm);
  }
  return failed;
}
