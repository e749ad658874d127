// What both kinds of peer do: the same cryptography and layout of the ciphertext, and nothing else.
import { createCipheriv, createSecretKey, generateKeyPairSync, randomBytes } from "node:crypto";

const key = createSecretKey(randomBytes(32));
export const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const keyId = randomBytes(16);
export const version = 1;
const [headerBytes, tagBytes] = [37, 16];

export function encrypt({
  plaintext,
  associatedData,
}: {
  plaintext: Uint8Array;
  associatedData: Uint8Array;
}): Buffer {
  const nonce = randomBytes(12);
  const header = Buffer.allocUnsafe(headerBytes);
  header.write("CLV\x01", 0, "latin1");
  header.set(keyId, 4);
  header.writeUInt32BE(version, 20);
  header.writeUInt8(1, 24);
  header.set(nonce, 25);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(associatedData.length === 0 ? header : Buffer.concat([header, associatedData]));
  const body = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([header, body, cipher.getAuthTag()]);
}
