import { createHash } from "node:crypto";
import type { BindingMac } from "./material-envelope.ts";

/** Unlike anything else that the binding key confirms, which begins with a length. */
const domain = Buffer.from("claviger/material-digest/v1\0", "utf8");

/** What makes a key different from others: its public half, or the secret itself. It stays in this process. */
export function fingerprintOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/**
 * By which storage finds material that is registered already (docs/formats.md). Keyed in the HSM: whoever
 * reads storage's rows cannot try candidates.
 */
export function materialDigest(fingerprint: Uint8Array, mac: BindingMac): Promise<Buffer> {
  return mac(Buffer.concat([domain, fingerprint]));
}
