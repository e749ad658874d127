import { createHash, timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { ecdsaDerToRaw } from "@claviger/x509";
import type { Hsm } from "../hsm/port.ts";
import { hsmSignatureOf } from "../mechanisms/hsm.ts";
import { verifySignature } from "../mechanisms/public-key.ts";
import type { UsableKey } from "../usable-key.ts";
import { checkSize, plaintextBytesMax, publicKeyBytesMax } from "./limits.ts";

/** A message, or in its place its digest by the algorithm's own hash. */
export interface Signable {
  message: Uint8Array;
  digest: Uint8Array;
  /** Empty where the algorithm has none. */
  context: Uint8Array;
}

const contextBytesMax = 255;

const componentBytes = { "P-256": 32, "P-384": 48, "P-521": 66 } as const;

/** Signs with a key that `require` has let through. */
export async function signWith(key: UsableKey, item: Signable): Promise<Uint8Array> {
  const { context, digest, message } = item;
  checkSize(message, plaintextBytesMax, "message");
  checkContext(key, context);
  if (digest.length === 0) return key.use((mechanism) => mechanism.sign!(message, context));
  checkDigest(key, digest, message);
  return key.use((mechanism) => mechanism.signDigest!(digest));
}

/** Whether the signature is the key's over the message; only a valid one passes, whatever else is wrong with it. */
export async function verifyWith(
  hsm: Hsm,
  key: UsableKey,
  { context, digest, message }: Signable,
  signature: Uint8Array,
): Promise<boolean> {
  checkSize(message, plaintextBytesMax, "message");
  checkSize(signature, publicKeyBytesMax, "signature");
  checkContext(key, context);
  const { scheme } = key.facts;
  if (digest.length === 0) return verifySignature(scheme, key.publicKey, message, signature, context);
  checkDigest(key, digest, message);
  const raw = rawSignature(key, signature);
  return raw !== undefined && hsm.verifyDigest(key.publicKey, hsmSignatureOf(scheme)!, digest, raw);
}

function rawSignature({ facts: { scheme } }: UsableKey, signature: Uint8Array): Uint8Array | undefined {
  if (scheme.kind !== "ecdsa") return signature;
  try {
    return ecdsaDerToRaw(signature, componentBytes[scheme.curve]);
  } catch {
    return undefined;
  }
}

function checkContext({ facts: { algorithm, scheme } }: UsableKey, context: Uint8Array): void {
  if (context.length === 0) return;
  if (scheme.kind !== "ml-dsa" && scheme.kind !== "slh-dsa") {
    throw new DomainError("invalid-argument", `${algorithm} has no context string`, {
      hint: "leave it out, or sign it as a part of the message",
    });
  }
  checkSize(context, contextBytesMax, "context");
}

function checkDigest(
  { facts: { algorithm, scheme } }: UsableKey,
  digest: Uint8Array,
  message: Uint8Array,
): void {
  if (message.length > 0) {
    throw new DomainError("invalid-argument", "a message and a digest were given, and one of them is wanted");
  }
  if (hsmSignatureOf(scheme) === undefined || !("hash" in scheme)) {
    throw new DomainError("invalid-argument", `${algorithm} signs messages, not their digests`, {
      hint: "send the message itself",
    });
  }
  const wanted = createHash(scheme.hash).digest().length;
  if (digest.length !== wanted) {
    throw new DomainError(
      "invalid-argument",
      `a digest for ${algorithm} is one of ${scheme.hash} with ${wanted} bytes, not ${digest.length}`,
    );
  }
}

export async function macWith(key: UsableKey, message: Uint8Array): Promise<Buffer> {
  checkSize(message, plaintextBytesMax, "message");
  return key.use((mechanism) => mechanism.mac!(message));
}

/** Whole tags alone: a truncated one is another algorithm (SP 800-224 section 5). */
export async function verifyMacWith(key: UsableKey, message: Uint8Array, tag: Uint8Array): Promise<boolean> {
  const expected = await macWith(key, message);
  return expected.length === tag.length && timingSafeEqual(expected, tag);
}
