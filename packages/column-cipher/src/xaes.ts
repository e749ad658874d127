import { createCipheriv, createDecipheriv } from "node:crypto";

export const nonceBytes = 24;
const tagBytes = 16;
const blockBytes = 16;

/**
 * XAES-256-GCM (C2SP xaes-256-gcm): AES-256-GCM under a key made of the first half of a 192-bit nonce (SP 800-108
 * counter mode with CMAC). Random nonces may be as many as there are: nothing counts them.
 */
export function sealXaes(key: Uint8Array, nonce: Uint8Array, data: Uint8Array, bound: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", derivedKey(key, nonce), nonce.subarray(12));
  cipher.setAAD(bound);
  return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined where it was not sealed so. */
export function openXaes(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  bound: Uint8Array,
): Buffer | undefined {
  if (sealed.length < tagBytes) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", derivedKey(key, nonce), nonce.subarray(12), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(bound);
  decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - tagBytes)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** Two blocks of CMAC over whole blocks, so that only its first subkey is needed. */
function derivedKey(key: Uint8Array, nonce: Uint8Array): Buffer {
  const subkey = doubled(encryptBlocks(key, Buffer.alloc(blockBytes)));
  const blocks = Buffer.alloc(2 * blockBytes);
  for (const counter of [1, 2]) {
    const block = blocks.subarray((counter - 1) * blockBytes, counter * blockBytes);
    block.set([0, counter, 0x58, 0]);
    block.set(nonce.subarray(0, 12), 4);
    for (const [at, byte] of subkey.entries()) block[at] = block[at]! ^ byte;
  }
  return encryptBlocks(key, blocks);
}

function encryptBlocks(key: Uint8Array, blocks: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-ecb", key, null);
  cipher.setAutoPadding(false);
  return cipher.update(blocks);
}

/** In GF(2^128) (SP 800-38B section 6.1). */
function doubled(block: Buffer): Buffer {
  const result = Buffer.alloc(blockBytes);
  let carry = 0;
  for (let at = blockBytes - 1; at >= 0; at -= 1) {
    const byte = block[at]!;
    result[at] = ((byte << 1) | carry) & 0xff;
    carry = byte >> 7;
  }
  result[blockBytes - 1]! ^= carry * 0x87;
  return result;
}
