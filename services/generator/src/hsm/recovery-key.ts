import { createHash } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import pkcs11 from "pkcs11js";
import { asBuffer } from "./mechanism-parameters.ts";
import type { Session } from "./sessions.ts";
import * as templates from "./templates.ts";

/** Names the recovery key without telling it: eight bytes of a hash under a domain of its own. */
export function recoveryKeyId(key: SecretBytes): string {
  return createHash("sha256")
    .update("claviger/recovery-key-id/v1\0")
    .update(key.expose())
    .digest("hex")
    .slice(0, 16);
}

/** The token's object for a recovery key. */
export interface RecoveryObject {
  id: string;
  handle: Buffer;
}

export function createRecoveryObject(
  module: pkcs11.PKCS11,
  session: Session,
  key: SecretBytes,
): RecoveryObject {
  const id = recoveryKeyId(key);
  return { id, handle: module.C_CreateObject(session, templates.recoveryKey(asBuffer(key.expose()), id)) };
}

const objectsMax = 8;

/** One, or two while one takes the other's place. */
export function recoveryObjects(module: pkcs11.PKCS11, session: Session): RecoveryObject[] {
  module.C_FindObjectsInit(session, templates.byLabel(templates.labels.recovery));
  const handles = module.C_FindObjects(session, objectsMax);
  module.C_FindObjectsFinal(session);
  return handles.map((handle) => {
    const [id] = module.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_ID }]);
    return { id: Buffer.from(id!.value as Buffer).toString("utf8"), handle };
  });
}

/** Looked for each time: a ceremony in another process may have put another in its place. */
export function currentRecoveryObject(module: pkcs11.PKCS11, session: Session): RecoveryObject {
  const found = recoveryObjects(module, session);
  if (found.length === 1) return found[0]!;
  throw found.length === 0
    ? new DomainError("unavailable", "the HSM has no recovery key", {
        hint: "if the token was replaced, restore from a backup",
      })
    : new DomainError("unavailable", "the recovery key is being changed", {
        hint: "try again shortly; if that stays so: claviger backup custodians change, with the same shares as before",
      });
}
