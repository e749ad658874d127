import { randomFillSync } from "node:crypto";
import { nonceBytes } from "../ciphertext.ts";

const noncesPerDraw = 1024;
let pool = Buffer.alloc(0);
let at = 0;

/**
 * A random 96-bit nonce (SP 800-38D section 8.2.2). Drawn a thousand at a time: one call of the
 * generator for each nonce costs more than encrypting a short plaintext. None is given out twice.
 */
export function freshNonce(): Buffer {
  if (at === pool.length) {
    pool = randomFillSync(Buffer.allocUnsafeSlow(noncesPerDraw * nonceBytes));
    at = 0;
  }
  const nonce = pool.subarray(at, at + nonceBytes);
  at += nonceBytes;
  return nonce;
}
