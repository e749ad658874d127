import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import pkcs11 from "pkcs11js";
import { asBuffer, hmacWith, keyWrap } from "./mechanism-parameters.ts";
import { createRecoveryObject } from "./recovery-key.ts";
import { findToken, loadModule, logIn, openSession, serialOf, type TokenOptions } from "./sessions.ts";
import * as templates from "./templates.ts";
import { mixedRandom } from "./token-random.ts";

const recoveryKeyBytes = 32;

export interface TokenCeremonyResult {
  tokenSerial: string;
  model: string;
  /** The bytes to split among custodians; dispose of them at once. */
  recoveryKey: SecretBytes;
  bindingKeyWrap: Buffer;
  wrapForRecovery: (secret: SecretBytes) => Buffer;
  /** HMAC-SHA-256 with the binding key. */
  bindingMac: (data: Uint8Array) => Buffer;
  close: () => void;
}

/**
 * Makes the token's life begin: initialises it, sets the PIN, makes the recovery key (wrap-only) and
 * the binding key, and wraps the binding key for recovery before it becomes non-extractable.
 */
export function beginToken(
  options: TokenOptions & {
    pin: string;
    securityOfficerPin: string;
    /** Throws where such an HSM must not be used; called before anything is written to it. */
    check?: (hsm: string) => void;
  },
): TokenCeremonyResult {
  const module = loadModule(options.modulePath);
  const { libraryDescription, manufacturerID } = module.C_GetInfo();
  options.check?.(`${manufacturerID} ${libraryDescription}`);
  const slot = initialiseToken(module, options);
  const session = openSession(module, slot);
  logIn(module, session, options.pin);
  const recoveryKey = mixedRandom(module, session, recoveryKeyBytes);
  const { handle: recovery } = createRecoveryObject(module, session, recoveryKey);
  const binding = module.C_GenerateKey(
    session,
    { mechanism: pkcs11.CKM_GENERIC_SECRET_KEY_GEN },
    templates.bindingMacKey(),
  );
  const bindingKeyWrap = module.C_WrapKey(session, keyWrap, recovery, binding, Buffer.alloc(128));
  module.C_SetAttributeValue(session, binding, templates.closed);
  const token = module.C_GetTokenInfo(slot);
  return {
    tokenSerial: serialOf(module, slot),
    model: token.model.replaceAll("\0", " ").trim(),
    recoveryKey,
    bindingKeyWrap,
    wrapForRecovery(secret) {
      const object = module.C_CreateObject(session, templates.secretToWrap(asBuffer(secret.expose())));
      try {
        return module.C_WrapKey(session, keyWrap, recovery, object, Buffer.alloc(1024));
      } finally {
        module.C_DestroyObject(session, object);
      }
    },
    bindingMac: hmacWith(module, session, binding),
    close: () => module.C_Finalize(),
  };
}

/** An empty one gets its label and its PIN. @throws DomainError `failed-precondition` where there is none */
export function initialiseToken(
  module: pkcs11.PKCS11,
  options: TokenOptions & { pin: string; securityOfficerPin: string },
): Buffer {
  if (findToken(module, options.tokenLabel) !== undefined) {
    throw new DomainError("failed-precondition", `the HSM has a token named ${options.tokenLabel} already`, {
      hint: "a ceremony begins with an empty token; choose another label or initialise the token again",
    });
  }
  const [empty] = module
    .C_GetSlotList(true)
    .filter((slot) => (module.C_GetTokenInfo(slot).flags & pkcs11.CKF_TOKEN_INITIALIZED) === 0);
  if (empty === undefined) {
    throw new DomainError("failed-precondition", "the HSM has no uninitialised token");
  }
  module.C_InitToken(empty, options.securityOfficerPin, options.tokenLabel);
  const slot = findToken(module, options.tokenLabel);
  if (slot === undefined) throw new DomainError("unavailable", "the HSM did not keep the token");
  const session = openSession(module, slot);
  module.C_Login(session, pkcs11.CKU_SO, options.securityOfficerPin);
  module.C_InitPIN(session, options.pin);
  module.C_Logout(session);
  module.C_CloseSession(session);
  return slot;
}
