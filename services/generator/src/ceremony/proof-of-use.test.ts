import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { beforeAll, describe, expect, test } from "vitest";
import { type Algorithm, algorithmRow } from "../algorithms.ts";
import { modulePath, useTestToken } from "../hsm/test-support/test-token.ts";
import { makeMaterial } from "../key-material.ts";
import { fingerprintOf, materialDigest } from "../material-digest.ts";
import { type MaterialBinding, sealEnvelope } from "../material-envelope.ts";
import { openStored, proveByUse, type StoredMaterial } from "./proof-of-use.ts";

const keyringKey = randomUUID();
const find = (keyring: string, generation: number) =>
  keyring === "ring" && generation === 1 ? keyringKey : undefined;
const random = async (lengthBytes: number) => SecretBytes.take(randomBytes(lengthBytes));

describe.skipIf(modulePath === undefined)("what proves that a key works", () => {
  const token = useTestToken();
  const mac = (data: Uint8Array) => token.hsm.bindingMac(data);
  beforeAll(async () => {
    await token.hsm.generateKeyringKey(keyringKey);
  });

  async function stored(
    algorithm: Algorithm,
    change: { publicKey?: Buffer; digest?: Buffer; binding?: Partial<MaterialBinding> } = {},
  ): Promise<StoredMaterial> {
    const row = algorithmRow(algorithm);
    const made = await makeMaterial(row.scheme, random);
    using secret = made.secret;
    const publicKey = change.publicKey ?? made.publicKey;
    const fingerprint = fingerprintOf(publicKey.length === 0 ? secret.expose() : publicKey);
    const digest = change.digest ?? (await materialDigest(fingerprint, mac));
    const binding: MaterialBinding = {
      name: "ring/key",
      keyId: randomUUID(),
      version: 1,
      algorithm,
      purpose: row.purpose,
      protection: "software",
      exportable: false,
    };
    const wrapped = await token.hsm.wrapSecret(keyringKey, secret);
    const material = await sealEnvelope({ keyringGeneration: 1, wrapped, publicKey }, binding, mac);
    return { binding: { ...binding, ...change.binding }, material, digest };
  }

  const prove = async (one: StoredMaterial) =>
    proveByUse(token.hsm, one, await openStored(token.hsm, one), find);

  test("a key that is whole is proved by its public half, or by its digest", async () => {
    expect(await prove(await stored("ecdsa-p256"))).toBe("public-key");
    expect(await prove(await stored("x25519"))).toBe("public-key");
    expect(await prove(await stored("ml-kem-768"))).toBe("public-key");
    for (const algorithm of ["aes-256-gcm", "aes-256-kwp", "hmac-sha384"] as const) {
      expect(await prove(await stored(algorithm)), algorithm).toBe("digest");
    }
  });

  test("a private key that came back to another's public half is found out", async () => {
    const { publicKey } = generateKeyPairSync("ed25519");
    const other = publicKey.export({ type: "spki", format: "der" });
    await expect(prove(await stored("ed25519", { publicKey: other }))).rejects.toThrow(
      "does not belong to the public half",
    );
  });

  test("a secret that opens, and undoes what it did, and is another than was registered, is found out", async () => {
    await expect(prove(await stored("aes-256-gcm", { digest: randomBytes(32) }))).rejects.toThrow(
      "another secret than was registered",
    );
  });

  test.each([{ version: 2 }, { name: "ring/other" }, { exportable: true }, { keyId: randomUUID() }])(
    "material that was bound to something else than %o does not open",
    async (binding) => {
      await expect(prove(await stored("hmac-sha256", { binding }))).rejects.toThrow("not what the HSM bound");
    },
  );

  test("without its generation of the keyring's key nothing opens", async () => {
    const one = await stored("hmac-sha256");
    const envelope = await openStored(token.hsm, one);
    await expect(proveByUse(token.hsm, one, envelope, () => undefined)).rejects.toThrow("generation 1");
  });
});
