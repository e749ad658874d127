import { randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import { expect, test } from "vitest";
import { createRecipient, sealSecret } from "./index.ts";

const context = { method: "s/M", name: "ring/key", version: 3 };

test("what is sealed opens for its recipient, for what it was made for, and for nothing else", async () => {
  const recipient = await createRecipient();
  const bytes = randomBytes(32);
  using secret = SecretBytes.take(Uint8Array.from(bytes));
  const sealed = await sealSecret(recipient.publicKey, context, secret);
  using opened = await recipient.open(sealed, context);
  expect(Buffer.from(opened.expose())).toEqual(bytes);
  const other = await createRecipient();
  await expect(other.open(sealed, context)).rejects.toMatchObject({ kind: "integrity" });
  for (const wrong of [{ method: "s/N" }, { name: "ring/kez" }, { version: 4 }]) {
    await expect(recipient.open(sealed, { ...context, ...wrong })).rejects.toMatchObject({
      kind: "integrity",
    });
  }
  const changed = {
    ...sealed,
    ciphertext: sealed.ciphertext.map((byte, at) => (at === 0 ? byte ^ 1 : byte)),
  };
  await expect(recipient.open(changed, context)).rejects.toMatchObject({ kind: "integrity" });
});

test("a recipient that is no X25519 key, or one of small order, is refused", async () => {
  using secret = SecretBytes.take(randomBytes(32));
  for (const key of [new Uint8Array(0), new Uint8Array(31), new Uint8Array(33), new Uint8Array(32)]) {
    await expect(sealSecret(key, context, secret)).rejects.toMatchObject({ kind: "invalid-argument" });
  }
});
