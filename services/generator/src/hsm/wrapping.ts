import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import type pkcs11 from "pkcs11js";
import { isGone } from "./connection.ts";
import { asBuffer, keyWrap } from "./mechanism-parameters.ts";
import { createFrom } from "./passing-objects.ts";
import type { Session } from "./sessions.ts";
import * as templates from "./templates.ts";

const wrappedBytesMax = 64 * 1024;

/** An object in the session, out of what `wrapping` wrapped. @throws DomainError `integrity` */
export async function unwrap(
  module: pkcs11.PKCS11,
  session: Session,
  wrapping: Buffer,
  wrapped: Uint8Array,
  template: pkcs11.Template,
): Promise<Buffer> {
  try {
    return await module.C_UnwrapKeyAsync(session, keyWrap, wrapping, asBuffer(wrapped), template);
  } catch (cause) {
    if (isGone(cause)) throw cause;
    throw new DomainError("integrity", "wrapped material does not open with its keyring's key", { cause });
  }
}

export async function wrap(
  module: pkcs11.PKCS11,
  session: Session,
  wrapping: Buffer,
  object: Buffer,
): Promise<Buffer> {
  return module.C_WrapKeyAsync(session, keyWrap, wrapping, object, Buffer.alloc(wrappedBytesMax));
}

/** Bytes of the generator's own memory, by way of an object that is there for this alone. */
export async function wrapBytes(
  module: pkcs11.PKCS11,
  session: Session,
  wrapping: Buffer,
  secret: SecretBytes,
): Promise<Buffer> {
  const object = createFrom(module, session, secret, templates.secretToWrap);
  try {
    return await wrap(module, session, wrapping, object);
  } finally {
    module.C_DestroyObject(session, object);
  }
}

/** What is under `from`, under `to`: it is neither read nor used on the way. @throws DomainError `integrity` */
export async function rewrap(
  module: pkcs11.PKCS11,
  session: Session,
  keys: { from: Buffer; to: Buffer },
  wrapped: Uint8Array,
  template: pkcs11.Template,
): Promise<Buffer> {
  const object = await unwrap(module, session, keys.from, wrapped, template);
  try {
    const again = await wrap(module, session, keys.to, object);
    // What does not open must never take the place of what does.
    module.C_DestroyObject(session, await unwrap(module, session, keys.to, again, template));
    return again;
  } finally {
    module.C_DestroyObject(session, object);
  }
}
