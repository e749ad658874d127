import { randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import type pkcs11 from "pkcs11js";
import type { Session } from "./sessions.ts";

/** HSM and operating system combined, so that neither alone decides. */
export function mixedRandom(module: pkcs11.PKCS11, session: Session, lengthBytes: number): SecretBytes {
  using theirs = SecretBytes.take(module.C_GenerateRandom(session, Buffer.alloc(lengthBytes)));
  return SecretBytes.take(randomBytes(lengthBytes)).mix(theirs);
}
