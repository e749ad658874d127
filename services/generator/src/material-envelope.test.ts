import { createHmac, randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type MaterialBinding, openEnvelope, sealEnvelope } from "./material-envelope.ts";

const key = randomBytes(32);
const mac = async (data: Uint8Array) => createHmac("sha256", key).update(data).digest();
const binding: MaterialBinding = {
  name: "payments/card-data",
  keyId: "01234567-89ab-4cde-8f01-23456789abcd",
  version: 3,
  algorithm: "aes-256-gcm",
  purpose: "encrypt-decrypt",
  protection: "software",
  exportable: false,
};
const envelope = { keyringGeneration: 2, wrapped: randomBytes(40), publicKey: Buffer.alloc(0) };

test("an envelope opens for the key, version and attributes that it was made for, and for no other", async () => {
  const sealed = await sealEnvelope(envelope, binding, mac);
  expect(await openEnvelope(sealed, binding, mac)).toEqual(envelope);
  const others: Partial<MaterialBinding>[] = [
    { name: "payments/card-data2" },
    { name: "payment/scard-data" },
    { keyId: "01234567-89ab-4cde-8f01-23456789abce" },
    { version: 2 },
    { algorithm: "ecdsa-p256" },
    { purpose: "sign-verify" },
    { protection: "hsm" },
    { exportable: true },
  ];
  for (const other of others) {
    await expect(openEnvelope(sealed, { ...binding, ...other }, mac)).rejects.toThrow("bound");
  }
});

test("every byte of an envelope is bound, and none can be left out", async () => {
  const sealed = await sealEnvelope({ ...envelope, publicKey: randomBytes(91) }, binding, mac);
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = changed[at]! ^ 1;
    await expect(openEnvelope(changed, binding, mac)).rejects.toMatchObject({ kind: "integrity" });
    await expect(openEnvelope(sealed.subarray(0, at), binding, mac)).rejects.toMatchObject({
      kind: "integrity",
    });
  }
});

test("no bytes whatever make the parser fail in another way, even with a MAC that fits", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), async (bytes) => {
      const agreeing = async () => Buffer.from(bytes.slice(-32));
      const opened = openEnvelope(bytes, binding, agreeing);
      await opened.catch((error) => expect(error).toMatchObject({ kind: "integrity" }));
    }),
  );
});
