import {
  constants,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  verify,
} from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { beforeAll, describe, expect, test } from "vitest";
import type { Hsm } from "./port.ts";
import { modulePath, useTestToken } from "./test-support/test-token.ts";

/** The contract of the port, on the real module: SoftHSM, or the one that the environment names. */
describe.skipIf(modulePath === undefined)("the HSM port on PKCS#11", () => {
  const token = useTestToken();
  let hsm: Hsm;
  beforeAll(() => {
    ({ hsm } = token);
  });

  test("a keyring key wraps secrets of any length and gives them back", async () => {
    await hsm.generateKeyringKey("k1");
    for (const length of [1, 7, 8, 31, 32, 33, 138, 1217, 5000]) {
      const bytes = randomBytes(length);
      using secret = SecretBytes.take(Uint8Array.from(bytes));
      const wrapped = await hsm.wrapSecret("k1", secret);
      using back = await hsm.unwrapSecret("k1", wrapped);
      expect(Buffer.from(back.expose())).toEqual(bytes);
    }
  });

  test("more work at once than there are sessions is done all the same", async () => {
    await hsm.generateKeyringKey("busy");
    const all = Array.from({ length: 64 }, () => randomBytes(40));
    const spec = { kind: "ec-p256", use: "sign" } as const;
    const digest = createHash("sha256").update("message").digest();
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signWithCopy = async (): Promise<Buffer> => {
      using pkcs8 = SecretBytes.take(privateKey.export({ type: "pkcs8", format: "der" }));
      const key = await hsm.takeKey(spec, pkcs8);
      return hsm.signDigest(key, { kind: "ecdsa" }, digest).finally(() => hsm.destroyKey(key));
    };
    const signatures = Promise.all(all.map(signWithCopy));
    const opened = await Promise.all(
      all.map(async (bytes) => {
        using secret = SecretBytes.take(Uint8Array.from(bytes));
        using back = await hsm.unwrapSecret("busy", await hsm.wrapSecret("busy", secret));
        return Buffer.from(back.expose());
      }),
    );
    expect(opened).toEqual(all);
    for (const signature of await signatures) {
      expect(
        verify(
          "sha256",
          Buffer.from("message"),
          { key: createPublicKey(privateKey), dsaEncoding: "ieee-p1363" },
          signature,
        ),
      ).toBe(true);
    }
  });

  test("a wrap opens under its own keyring key alone, and not when a bit was changed", async () => {
    await hsm.generateKeyringKey("k2");
    await hsm.generateKeyringKey("k3");
    using secret = SecretBytes.take(randomBytes(32));
    const wrapped = await hsm.wrapSecret("k2", secret);
    await expect(hsm.unwrapSecret("k3", wrapped)).rejects.toMatchObject({ kind: "integrity" });
    wrapped[9] = wrapped[9]! ^ 1;
    await expect(hsm.unwrapSecret("k2", wrapped)).rejects.toMatchObject({ kind: "integrity" });
  });

  test("what is under one keyring key is moved under another, and the first may be destroyed, twice", async () => {
    await hsm.generateKeyringKey("old");
    await hsm.generateKeyringKey("new");
    const keys = { from: "old", to: "new" };
    const bytes = randomBytes(77);
    using secret = SecretBytes.take(Uint8Array.from(bytes));
    const wrapped = await hsm.wrapSecret("old", secret);
    const moved = await hsm.rewrap(keys, undefined, wrapped);
    const spec = { kind: "ec-p256", use: "sign" } as const;
    const pair = await hsm.generateKey("old", spec);
    const movedPair = await hsm.rewrap(keys, spec, pair.wrapped);
    const changed = Buffer.from(wrapped);
    changed[3] = changed[3]! ^ 1;
    await expect(hsm.rewrap(keys, undefined, changed)).rejects.toMatchObject({ kind: "integrity" });
    await hsm.destroyKeyringKey("old");
    await hsm.destroyKeyringKey("old");
    using back = await hsm.unwrapSecret("new", moved);
    expect(Buffer.from(back.expose())).toEqual(bytes);
    const digest = createHash("sha256").update("message").digest();
    const signature = await hsm.signDigest(
      await hsm.unwrapKey("new", spec, movedPair),
      { kind: "ecdsa" },
      digest,
    );
    const key = createPublicKey({ key: pair.publicKey!, format: "der", type: "spki" });
    expect(verify("sha256", Buffer.from("message"), { key, dsaEncoding: "ieee-p1363" }, signature)).toBe(
      true,
    );
    await expect(hsm.unwrapSecret("old", wrapped)).rejects.toMatchObject({ kind: "unavailable" });
  });

  for (const kind of ["aes-128", "aes-192", "aes-256"] as const) {
    test(`a key ${kind} of the HSM seals and opens, also nothing, and notices a change anywhere`, async () => {
      await hsm.generateKeyringKey(`seals-${kind}`);
      const spec = { kind, use: "encrypt" } as const;
      const { publicKey, wrapped } = await hsm.generateKey(`seals-${kind}`, spec);
      expect(publicKey).toBeUndefined();
      const key = await hsm.unwrapKey(`seals-${kind}`, spec, wrapped);
      const nonce = randomBytes(12);
      const bound = Buffer.from("bound");
      for (const plaintext of [Buffer.alloc(0), Buffer.from("x"), randomBytes(100_000)]) {
        const sealed = await hsm.sealAesGcm(key, nonce, bound, plaintext);
        expect(sealed.length).toBe(plaintext.length + 16);
        expect(await hsm.openAesGcm(key, nonce, bound, sealed)).toEqual(plaintext);
        const changed = Buffer.from(sealed);
        changed[changed.length - 1] = changed.at(-1)! ^ 1;
        await expect(hsm.openAesGcm(key, nonce, bound, changed)).rejects.toMatchObject({ kind: "integrity" });
        const otherData = hsm.openAesGcm(key, nonce, Buffer.from("other"), sealed);
        await expect(otherData).rejects.toMatchObject({ kind: "integrity" });
      }
      await hsm.destroyKey(key);
      await expect(hsm.sealAesGcm(key, nonce, bound, Buffer.from("x"))).rejects.toMatchObject({
        kind: "unavailable",
      });
    });
  }

  const signers = [
    { kind: "ec-p256", hash: "sha256", how: { kind: "ecdsa" } },
    { kind: "ec-p384", hash: "sha384", how: { kind: "ecdsa" } },
    { kind: "ec-p521", hash: "sha512", how: { kind: "ecdsa" } },
    { kind: "rsa-2048", hash: "sha256", how: { kind: "rsa-pss", hash: "sha256" } },
    { kind: "rsa-2048", hash: "sha256", how: { kind: "rsa-pkcs1", hash: "sha256" } },
  ] as const;
  for (const { hash, how, kind } of signers) {
    test(`a key ${kind} of the HSM signs by ${how.kind} what OpenSSL verifies, and verifies it itself`, async () => {
      const ring = `signs-${kind}-${how.kind}`;
      await hsm.generateKeyringKey(ring);
      const spec = { kind, use: "sign" } as const;
      const made = await hsm.generateKey(ring, spec);
      const key = await hsm.unwrapKey(ring, spec, made.wrapped);
      const digest = createHash(hash).update("message").digest();
      const signature = await hsm.signDigest(key, how, digest);
      const publicKey = createPublicKey({ key: made.publicKey!, format: "der", type: "spki" });
      expect(verify(hash, Buffer.from("message"), openSslOptions(publicKey, how.kind), signature)).toBe(true);
      expect(await hsm.verifyDigest(publicKey, how, digest, signature)).toBe(true);
      const other = createHash(hash).update("another").digest();
      expect(await hsm.verifyDigest(publicKey, how, other, signature)).toBe(false);
      expect(await hsm.verifyDigest(publicKey, how, digest, signature.subarray(1))).toBe(false);
    });
  }

  test("a private key of OpenSSL's signs digests in the HSM", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    using pkcs8 = SecretBytes.take(privateKey.export({ type: "pkcs8", format: "der" }));
    const key = await hsm.takeKey({ kind: "ec-p384", use: "sign" }, pkcs8);
    const digest = createHash("sha384").update("message").digest();
    const signature = await hsm.signDigest(key, { kind: "ecdsa" }, digest);
    expect(verify("sha384", Buffer.from("message"), openSslOptions(publicKey, "ecdsa"), signature)).toBe(
      true,
    );
    await hsm.destroyKey(key);
  });

  for (const [kind, hash] of [
    ["secret-32", "sha256"],
    ["secret-48", "sha384"],
    ["secret-64", "sha512"],
  ] as const) {
    test(`a key ${kind} of the HSM makes one tag of one message`, async () => {
      const ring = `macs-${kind}`;
      await hsm.generateKeyringKey(ring);
      const spec = { kind, use: "sign" } as const;
      const { wrapped } = await hsm.generateKey(ring, spec);
      const tags = [];
      for (const message of ["a", "a", "b"]) {
        const key = await hsm.unwrapKey(ring, spec, wrapped);
        tags.push(await hsm.mac(key, hash, Buffer.from(message)));
        await hsm.destroyKey(key);
      }
      expect(tags[0]).toEqual(tags[1]);
      expect(tags[0]).not.toEqual(tags[2]);
      expect(tags[0]!.length).toBe(createHash(hash).digest().length);
    });
  }

  for (const [kind, namedCurve, bytes] of [
    ["ec-p256", "P-256", 32],
    ["ec-p384", "P-384", 48],
  ] as const) {
    test(`a key ${kind} of the HSM agrees with OpenSSL, also on secrets that begin with zeros`, async () => {
      const ring = `agrees-${kind}`;
      await hsm.generateKeyringKey(ring);
      const spec = { kind, use: "derive" } as const;
      const made = await hsm.generateKey(ring, spec);
      const key = await hsm.unwrapKey(ring, spec, made.wrapped);
      const ours = createPublicKey({ key: made.publicKey!, format: "der", type: "spki" });
      for (let count = 0; count < 400; count += 1) {
        const peer = generateKeyPairSync("ec", { namedCurve });
        const jwk = peer.publicKey.export({ format: "jwk" });
        const point = Buffer.concat([
          Buffer.of(4),
          Buffer.from(jwk.x!, "base64url"),
          Buffer.from(jwk.y!, "base64url"),
        ]);
        using secret = await hsm.deriveSecret(key, point, bytes);
        const theirs = diffieHellman({ privateKey: peer.privateKey, publicKey: ours });
        expect(Buffer.from(secret.expose())).toEqual(theirs);
      }
    });
  }

  test("what the module lacks is told by name", () => {
    expect(hsm.lacks({ kind: "aes-256", use: "encrypt" })).toBeUndefined();
    expect(hsm.lacks({ kind: "rsa-3072", use: "decrypt" })).toContain("CKM_RSA_PKCS_OAEP");
  });

  test("operations at the same time do not mix, also far more than there are sessions", async () => {
    await hsm.generateKeyringKey("k6");
    const aes = { kind: "aes-256", use: "encrypt" } as const;
    const { wrapped } = await hsm.generateKey("k6", aes);
    const key = await hsm.unwrapKey("k6", aes, wrapped);
    const work = Array.from({ length: 200 }, async (_, at) => {
      const nonce = randomBytes(12);
      const plaintext = Buffer.from(`item ${at}`);
      const sealed = await hsm.sealAesGcm(key, nonce, Buffer.alloc(0), plaintext);
      expect(await hsm.openAesGcm(key, nonce, Buffer.alloc(0), sealed)).toEqual(plaintext);
    });
    await Promise.all(work);
  });

  test("the binding MAC is one function of its input", async () => {
    const [first, again, other] = await Promise.all(
      ["a", "a", "b"].map((text) => hsm.bindingMac(Buffer.from(text))),
    );
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    expect(first?.length).toBe(32);
  });

  test("a keyring key that was destroyed wraps nothing any more", async () => {
    await hsm.generateKeyringKey("k7");
    await hsm.destroyKeyringKey("k7");
    using secret = SecretBytes.take(randomBytes(32));
    await expect(hsm.wrapSecret("k7", secret)).rejects.toMatchObject({ kind: "unavailable" });
  });
});

function openSslOptions(key: KeyObject, kind: "ecdsa" | "rsa-pss" | "rsa-pkcs1") {
  if (kind === "ecdsa") return { key, dsaEncoding: "ieee-p1363" } as const;
  if (kind === "rsa-pkcs1") return { key, padding: constants.RSA_PKCS1_PADDING };
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
}
