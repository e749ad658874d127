import { setTimeout } from "node:timers/promises";
import { DomainError } from "@claviger/domain-error";
import type { SecretBytes } from "@claviger/secret-bytes";
import { hmacWith } from "./mechanism-parameters.ts";
import { createFrom } from "./passing-objects.ts";
import { createRecoveryObject, type RecoveryObject, recoveryObjects } from "./recovery-key.ts";
import { findToken, loadModule, logIn, openSession, serialOf, type TokenOptions } from "./sessions.ts";
import * as templates from "./templates.ts";
import { labelledObject } from "./token-objects.ts";
import { mixedRandom } from "./token-random.ts";
import { unwrap, wrap } from "./wrapping.ts";

/** The token, beside a generator that goes on working with it, while one recovery key takes another's place. */
export interface CustodyToken {
  readonly serial: string;
  /** Names those that are in the token. */
  recoveryKeys(): string[];
  /** A new one, in the token; its bytes are the caller's to split, and to dispose of. */
  createRecoveryKey(): SecretBytes;
  removeRecoveryKey(id: string): void;
  /** So that other processes' modules look at the token anew. */
  announce(): Promise<void>;
  /** Inside the HSM: what was wrapped for the custodians of `opening`, wrapped for those of `id`. */
  rewrap(opening: SecretBytes, id: string, wrapped: Uint8Array): Promise<Buffer>;
  bindingMac(data: Uint8Array): Buffer;
  close(): void;
}

const recoveryKeyBytes = 32;
/**
 * SoftHSM's processes tell each other of a change by a counter in a file. Whoever counts it up at the same moment
 * takes the other's count for its own, and does not look: so there is more than one change.
 */
const announcements = 3;
const announceEveryMilliseconds = 100;

/** @throws DomainError `unavailable` */
export function openCustodyToken(options: TokenOptions & { pin: string }): CustodyToken {
  const module = loadModule(options.modulePath);
  const slot = findToken(module, options.tokenLabel);
  if (slot === undefined) {
    throw new DomainError("unavailable", `there is no HSM token named ${options.tokenLabel}`);
  }
  const session = openSession(module, slot);
  logIn(module, session, options.pin);
  const find = (id: string): RecoveryObject => {
    const found = recoveryObjects(module, session).find((object) => object.id === id);
    if (found !== undefined) return found;
    throw new DomainError("failed-precondition", `recovery key ${id} is not in the HSM`);
  };
  return {
    serial: serialOf(module, slot),
    bindingMac: hmacWith(module, session, labelledObject(module, session, templates.labels.binding)),
    recoveryKeys: () => recoveryObjects(module, session).map(({ id }) => id),
    createRecoveryKey() {
      const key = mixedRandom(module, session, recoveryKeyBytes);
      createRecoveryObject(module, session, key);
      return key;
    },
    removeRecoveryKey(id) {
      for (const object of recoveryObjects(module, session)) {
        if (object.id === id) module.C_DestroyObject(session, object.handle);
      }
    },
    async announce() {
      for (let time = 0; time < announcements; time += 1) {
        await setTimeout(announceEveryMilliseconds);
        module.C_DestroyObject(session, module.C_CreateObject(session, templates.notice));
      }
    },
    async rewrap(opening, id, wrapped) {
      const from = createFrom(module, session, opening, templates.transportKey);
      try {
        const object = await unwrap(module, session, from, wrapped, templates.toRewrap(undefined));
        try {
          return await wrap(module, session, find(id).handle, object);
        } finally {
          module.C_DestroyObject(session, object);
        }
      } finally {
        module.C_DestroyObject(session, from);
      }
    },
    close: () => module.C_Finalize(),
  };
}
