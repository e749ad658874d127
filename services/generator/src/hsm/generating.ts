import type pkcs11 from "pkcs11js";
import type { HsmKeySpec } from "./port.ts";
import type { Session } from "./sessions.ts";
import * as templates from "./templates.ts";

/** A new key in the session, extractable for its wrap; the result's objects are the caller's to destroy. */
export async function generateIn(
  module: pkcs11.PKCS11,
  session: Session,
  spec: HsmKeySpec,
): Promise<{ secret: Buffer; publicKey?: Buffer }> {
  const form = templates.generated(spec);
  const mechanism = { mechanism: form.generate };
  if (form.shape === "secret") {
    return { secret: await module.C_GenerateKeyAsync(session, mechanism, form.template) };
  }
  const { privateKey, publicKey } = await module.C_GenerateKeyPairAsync(
    session,
    mechanism,
    form.publicTemplate,
    form.privateTemplate,
  );
  return { secret: privateKey, publicKey };
}
