import { createHash, createHmac } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";

/** TLS KDF identifiers of RFC 9258 section 8.2, and the hash of each. */
const targetKdfs = {
  "hkdf-sha256": { id: 1, lengthBytes: 32 },
  "hkdf-sha384": { id: 2, lengthBytes: 48 },
} as const;
export type TargetKdf = keyof typeof targetKdfs;
/** TLS 1.3 and DTLS 1.3 (RFC 9258 section 5.1). */
const targetProtocols = { tls13: 0x0304, dtls13: 0xfefc } as const;
export type TargetProtocol = keyof typeof targetProtocols;

const identityBytesMax = 2 ** 16 - 1;

export interface PskImport {
  /** How both sides call the external key. */
  externalIdentity: Uint8Array;
  /** What else both sides bind the key to, such as their names (RFC 9258 section 4.2). */
  context: Uint8Array;
  targetProtocol: TargetProtocol;
  targetKdf: TargetKdf;
}

/**
 * The PSK importer of RFC 9258, section 5.1: of one external key a key of its own for each protocol and KDF, so that it is
 * never used with two. The hash of the external key is SHA-256.
 * @returns the identity that TLS offers, and the key; dispose of that
 */
export function importPreSharedKey(
  external: SecretBytes,
  { context, externalIdentity, targetKdf, targetProtocol }: PskImport,
): { importedIdentity: Buffer; key: SecretBytes } {
  if (externalIdentity.length === 0 || Math.max(externalIdentity.length, context.length) > identityBytesMax) {
    throw new DomainError("invalid-argument", `an identity has 1 to ${identityBytesMax} bytes`);
  }
  const { id, lengthBytes } = targetKdfs[targetKdf];
  const importedIdentity = Buffer.concat([
    opaque16(externalIdentity),
    opaque16(context),
    uint16(targetProtocols[targetProtocol]),
    uint16(id),
  ]);
  // HKDF-Extract(0, epsk), with as many zeros as the hash is long (RFC 5869 section 2.2).
  using extracted = SecretBytes.take(
    createHmac("sha256", Buffer.alloc(32)).update(external.expose()).digest(),
  );
  const hash = createHash("sha256").update(importedIdentity).digest();
  return { importedIdentity, key: expandLabel(extracted, "derived psk", hash, lengthBytes) };
}

/** HKDF-Expand-Label of RFC 8446, section 7.1; its secret is extracted already. */
function expandLabel(secret: SecretBytes, label: string, context: Buffer, lengthBytes: number): SecretBytes {
  const text = Buffer.from(`tls13 ${label}`, "ascii");
  const info = Buffer.concat([
    uint16(lengthBytes),
    Buffer.of(text.length),
    text,
    Buffer.of(context.length),
    context,
  ]);
  using key = SecretBytes.allocate(lengthBytes);
  let previous: Buffer = Buffer.alloc(0);
  for (let block = 1, at = 0; at < lengthBytes; block += 1, at += previous.length) {
    previous = createHmac("sha256", secret.expose())
      .update(previous)
      .update(info)
      .update(Buffer.of(block))
      .digest();
    key.expose().set(previous.subarray(0, lengthBytes - at), at);
  }
  previous.fill(0);
  return SecretBytes.take(key.expose());
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function opaque16(bytes: Uint8Array): Buffer {
  return Buffer.concat([uint16(bytes.length), bytes]);
}
