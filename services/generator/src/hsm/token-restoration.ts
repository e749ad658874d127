import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import type pkcs11 from "pkcs11js";
import { hmacWith, keyWrap } from "./mechanism-parameters.ts";
import { createFrom } from "./passing-objects.ts";
import { createRecoveryObject } from "./recovery-key.ts";
import {
  findToken,
  loadModule,
  logIn,
  openSession,
  type Session,
  serialOf,
  type TokenOptions,
} from "./sessions.ts";
import * as templates from "./templates.ts";
import { initialiseToken } from "./token-ceremony.ts";

export interface TokenContents {
  recoveryKey: SecretBytes;
  /** RFC 5649 under the recovery key, as every wrap here. */
  bindingKeyWrap: Buffer;
  keyringKeys: readonly { id: string; recoveryWrap: Buffer }[];
}

export interface RestoredToken {
  serial: string;
  /** HMAC-SHA-256 with the key that binds material, which is there again. */
  bindingMac(data: Uint8Array): Buffer;
  close(): void;
}

/**
 * Puts into a token of this installation what was in the one that a backup is of, in place of its own: recovery
 * key, binding key and keyring keys. Can be done again from the start wherever it was cut off.
 */
export async function restoreToken(
  options: TokenOptions & { pin: string },
  { bindingKeyWrap, keyringKeys, recoveryKey }: TokenContents,
): Promise<RestoredToken> {
  const module = loadModule(options.modulePath);
  const slot = findToken(module, options.tokenLabel);
  if (slot === undefined) {
    throw new DomainError("unavailable", `there is no HSM token named ${options.tokenLabel}`, {
      hint: "start the new installation once: it makes its token",
    });
  }
  const session = openSession(module, slot);
  logIn(module, session, options.pin);
  for (const label of Object.values(templates.labels)) destroyAll(module, session, label);
  createRecoveryObject(module, session, recoveryKey);
  const opening = createFrom(module, session, recoveryKey, templates.transportKey);
  const unwrap = (wrapped: Buffer, template: pkcs11.Template): Promise<Buffer> =>
    module.C_UnwrapKeyAsync(session, keyWrap, opening, wrapped, template);
  const binding = await unwrap(bindingKeyWrap, templates.restoredBindingMacKey());
  for (const { id, recoveryWrap } of keyringKeys)
    await unwrap(recoveryWrap, templates.restoredKeyringKey(id));
  module.C_DestroyObject(session, opening);
  return {
    serial: serialOf(module, slot),
    bindingMac: hmacWith(module, session, binding),
    close: () => module.C_Finalize(),
  };
}

const foundAtOnceMax = 64;

function destroyAll(module: pkcs11.PKCS11, session: Session, label: string): void {
  for (;;) {
    module.C_FindObjectsInit(session, templates.byLabel(label));
    const found = module.C_FindObjects(session, foundAtOnceMax);
    module.C_FindObjectsFinal(session);
    if (found.length === 0) return;
    for (const object of found) module.C_DestroyObject(session, object);
  }
}

/** Leaves nothing of Claviger's in a token. */
export function emptyToken(options: TokenOptions & { pin: string }): void {
  const module = loadModule(options.modulePath);
  try {
    const slot = findToken(module, options.tokenLabel);
    if (slot === undefined) return;
    const session = openSession(module, slot);
    logIn(module, session, options.pin);
    for (const label of Object.values(templates.labels)) destroyAll(module, session, label);
  } finally {
    module.C_Finalize();
  }
}

/** A token of its own for what is tried: an empty one of the HSM's, or SoftHSM's next. */
export function beginScratchToken(options: TokenOptions & { pin: string; securityOfficerPin: string }): void {
  const module = loadModule(options.modulePath);
  try {
    initialiseToken(module, options);
  } finally {
    module.C_Finalize();
  }
}
