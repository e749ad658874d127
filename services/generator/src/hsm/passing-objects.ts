import { randomBytes } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import pkcs11 from "pkcs11js";
import { kwpWrap } from "../mechanisms/symmetric.ts";
import { asBuffer, keyWrap } from "./mechanism-parameters.ts";
import type { HsmKeySpec } from "./port.ts";
import { isPkcs11, type Session } from "./sessions.ts";
import * as templates from "./templates.ts";

/** Objects that are in the HSM for the length of one call. */

const transportKeyBytes = 32;

/** The value of an object whose template lets it out. */
export function readSecret(module: pkcs11.PKCS11, session: Session, object: Buffer): SecretBytes {
  // Without a buffer of ours: pkcs11js 2.1 would fill a copy of that first, and never free it.
  const [attribute] = module.C_GetAttributeValue(session, object, [{ type: pkcs11.CKA_VALUE }]);
  const secret = SecretBytes.take(attribute!.value as unknown as Buffer);
  overwriteFreed(module, session, object, secret.length);
  return secret;
}

/** An object of bytes of ours, such as a secret that is about to be wrapped. */
export function createFrom(
  module: pkcs11.PKCS11,
  session: Session,
  bytes: SecretBytes,
  template: (value: Buffer) => pkcs11.Template,
): Buffer {
  const object = module.C_CreateObject(session, template(asBuffer(bytes.expose())));
  overwriteFreed(module, session, object, bytes.length);
  return object;
}

/**
 * pkcs11js carries values in memory that it frees without clearing it. An allocation of the same size, at
 * once and on the same thread, gets that piece again: this one writes zeros there.
 */
function overwriteFreed(module: pkcs11.PKCS11, session: Session, object: Buffer, length: number): void {
  try {
    module.C_SetAttributeValue(session, object, [{ type: pkcs11.CKA_LABEL, value: Buffer.alloc(length) }]);
  } catch {
    // A module that does not let a label be set has had its argument copied all the same.
  }
}

/** Takes a private key in, wrapped for the way with a key that lives as long; the result is the caller's to destroy. */
async function carryIn(
  module: pkcs11.PKCS11,
  session: Session,
  pkcs8: SecretBytes,
  template: pkcs11.Template,
): Promise<Buffer> {
  using transport = SecretBytes.take(randomBytes(transportKeyBytes));
  const wrapped = kwpWrap(transport.expose(), pkcs8.expose());
  const wrapping = createFrom(module, session, transport, templates.transportKey);
  try {
    return await module.C_UnwrapKeyAsync(session, keyWrap, wrapping, wrapped, template);
  } finally {
    module.C_DestroyObject(session, wrapping);
  }
}

/** Our bytes as an object of their kind: a symmetric key's value, or PKCS #8. The result is the caller's to destroy. */
export async function takeIn(
  module: pkcs11.PKCS11,
  session: Session,
  material: SecretBytes,
  { kind }: HsmKeySpec,
  template: pkcs11.Template,
): Promise<Buffer> {
  if (kind.startsWith("ec-") || kind.startsWith("rsa-")) return carryIn(module, session, material, template);
  return createFrom(module, session, material, (value) => [...template, { type: pkcs11.CKA_VALUE, value }]);
}

export async function verifyInHsm(
  module: pkcs11.PKCS11,
  session: Session,
  publicKey: pkcs11.Template,
  { input, mechanism }: { input: Buffer; mechanism: pkcs11.Mechanism },
  signature: Uint8Array,
): Promise<boolean> {
  const object = module.C_CreateObject(session, publicKey);
  try {
    module.C_VerifyInit(session, mechanism, object);
    return await module.C_VerifyAsync(session, input, asBuffer(signature));
  } catch (error) {
    if (isPkcs11(error, "CKR_SIGNATURE_INVALID") || isPkcs11(error, "CKR_SIGNATURE_LEN_RANGE")) return false;
    throw error;
  } finally {
    module.C_DestroyObject(session, object);
  }
}
