import { createDecipheriv } from "node:crypto";

/** RFC 5649 key unwrap with padding, by OpenSSL: what a custodian opens recovery wraps with. @throws */
export function unwrapWithPadding(key: Uint8Array, wrapped: Uint8Array): Buffer {
  const decipher = createDecipheriv(`id-aes${key.length * 8}-wrap-pad`, key, Buffer.from("A65959A6", "hex"));
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}
