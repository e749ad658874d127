import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SecretBytes } from "@claviger/secret-bytes";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openPkcs11Hsm } from "./pkcs11-hsm.ts";
import type { Hsm } from "./port.ts";
import { beginToken } from "./token-ceremony.ts";

/** The contract of the port, on the real module: SoftHSM, or the one that the environment names. */
const modulePath = [
  process.env.CLAVIGER_PKCS11_MODULE ?? "",
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
].find((path) => path !== "" && existsSync(path));

describe.skipIf(modulePath === undefined)("the HSM port on PKCS#11", () => {
  const directory = mkdtempSync(join(tmpdir(), "claviger-hsm-"));
  const pin = "123456789012";
  let hsm: Hsm;

  beforeAll(() => {
    mkdirSync(join(directory, "token"));
    writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${join(directory, "token")}\n`);
    process.env.SOFTHSM2_CONF = join(directory, "softhsm2.conf");
    const options = { modulePath: modulePath!, tokenLabel: "claviger-test", pin };
    const begun = beginToken({ ...options, securityOfficerPin: "987654321098" });
    begun.recoveryKey[Symbol.dispose]();
    begun.close();
    hsm = openPkcs11Hsm(options);
  });

  afterAll(async () => {
    await hsm?.[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
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

  test("a wrap opens under its own keyring key alone, and not when a bit was changed", async () => {
    await hsm.generateKeyringKey("k2");
    await hsm.generateKeyringKey("k3");
    using secret = SecretBytes.take(randomBytes(32));
    const wrapped = await hsm.wrapSecret("k2", secret);
    await expect(hsm.unwrapSecret("k3", wrapped)).rejects.toMatchObject({ kind: "integrity" });
    wrapped[9] = wrapped[9]! ^ 1;
    await expect(hsm.unwrapSecret("k2", wrapped)).rejects.toMatchObject({ kind: "integrity" });
  });

  test("an AES key of the HSM seals and opens, also nothing, and notices a change anywhere", async () => {
    await hsm.generateKeyringKey("k4");
    const { publicPoint, wrapped } = await hsm.generateKey("k4", "aes-256");
    expect(publicPoint).toBeUndefined();
    const key = await hsm.unwrapKey("k4", "aes-256", wrapped);
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

  test("a P-256 key of the HSM signs what OpenSSL verifies", async () => {
    await hsm.generateKeyringKey("k5");
    const { publicPoint, wrapped } = await hsm.generateKey("k5", "ec-p256");
    const key = await hsm.unwrapKey("k5", "ec-p256", wrapped);
    const signature = await hsm.signDigest(key, createHash("sha256").update("message").digest());
    const spki = Buffer.concat([
      Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex"),
      publicPoint!,
    ]);
    const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
    const how = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
    expect(verify("sha256", Buffer.from("message"), how, signature)).toBe(true);
  });

  test("operations at the same time do not mix, also far more than there are sessions", async () => {
    await hsm.generateKeyringKey("k6");
    const { wrapped } = await hsm.generateKey("k6", "aes-256");
    const key = await hsm.unwrapKey("k6", "aes-256", wrapped);
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
