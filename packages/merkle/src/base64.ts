/**
 * Strict standard base64 (RFC 4648 section 4): padded, without blanks, and the one canonical spelling of
 * its bytes (section 3.5), so that two different texts never decode to one value. Undefined if it is not.
 */
export function decodeBase64(encoded: string): Uint8Array | undefined {
  const bytes = Buffer.from(encoded, "base64");
  return bytes.toString("base64") === encoded ? bytes : undefined;
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
