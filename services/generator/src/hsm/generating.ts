import pkcs11 from "pkcs11js";
import { keyWrap } from "./mechanism-parameters.ts";
import type { HsmKeySpec, KeyringKeyId, RecoveryWrap } from "./port.ts";
import { currentRecoveryObject } from "./recovery-key.ts";
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

/** A keyring's key in the token, wrapped for recovery before it is closed for good. */
export async function generateKeyringKeyIn(
  module: pkcs11.PKCS11,
  session: Session,
  id: KeyringKeyId,
): Promise<RecoveryWrap & { key: Buffer }> {
  // First, and not only to fail early: SoftHSM looks at what other processes changed in the token when something is
  // looked for, and forgets that there was anything to look at when it writes.
  const recovery = currentRecoveryObject(module, session);
  const mechanism = { mechanism: pkcs11.CKM_AES_KEY_GEN };
  const key = await module.C_GenerateKeyAsync(session, mechanism, templates.keyringKey(id));
  try {
    const recoveryWrap = module.C_WrapKey(session, keyWrap, recovery.handle, key, Buffer.alloc(128));
    module.C_SetAttributeValue(session, key, templates.closed);
    return { key, recoveryWrap, recoveryKey: recovery.id };
  } catch (error) {
    module.C_DestroyObject(session, key);
    throw error;
  }
}
