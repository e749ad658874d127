import { randomFillSync } from "node:crypto";

const poolBytes = 12 * 1024;
let pool = Buffer.alloc(0);
let at = 0;

/** `size` random bytes for what is not secret, such as a nonce or a salt. None is given out twice. */
export function pooledRandomBytes(size: number): Buffer {
  if (at + size > pool.length) {
    pool = randomFillSync(Buffer.allocUnsafeSlow(Math.max(poolBytes, size)));
    at = 0;
  }
  at += size;
  return pool.subarray(at - size, at);
}
