import { DomainError } from "@claviger/domain-error";
import pkcs11 from "pkcs11js";

export type Session = Buffer;

export interface TokenOptions {
  modulePath: string;
  tokenLabel: string;
}

const sessionsMax = 8;
/** Callers that wait for a session; past it the HSM is overloaded. */
const waitingMax = 4096;

const { CKF_OS_LOCKING_OK, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKU_USER } = pkcs11;

/** Loads and initialises the module. Tolerates that this process had done so. */
export function loadModule(modulePath: string): pkcs11.PKCS11 {
  const module = new pkcs11.PKCS11();
  try {
    module.load(modulePath);
    // Without OS locking, concurrent calls end the process (facts: a segmentation fault).
    module.C_Initialize({ flags: CKF_OS_LOCKING_OK });
  } catch (error) {
    if (!isPkcs11(error, "CKR_CRYPTOKI_ALREADY_INITIALIZED")) {
      throw new DomainError("unavailable", `the PKCS#11 module ${modulePath} cannot be used`, {
        hint: "install SoftHSM2 (apt-get install softhsm2) or set CLAVIGER_PKCS11_MODULE to your HSM's module",
        cause: error,
      });
    }
  }
  return module;
}

export function findToken(module: pkcs11.PKCS11, label: string): Buffer | undefined {
  return module.C_GetSlotList(true).find((slot) => {
    // SoftHSM pads the label with NULs, the standard says blanks.
    const padded = module.C_GetTokenInfo(slot).label;
    return padded.replaceAll("\0", " ").trimEnd() === label;
  });
}

/** Product and firmware, and who made it; SoftHSM pads with NULs, the standard says blanks. */
export function describeToken(
  module: pkcs11.PKCS11,
  slot: Buffer,
): { description: string; manufacturer: string } {
  const token = module.C_GetTokenInfo(slot);
  const { major, minor } = token.firmwareVersion;
  return {
    description: `${token.model.replaceAll("\0", " ").trim()} ${major}.${minor}`,
    manufacturer: `${token.manufacturerID} ${token.model}`,
  };
}

export function serialOf(module: pkcs11.PKCS11, slot: Buffer): string {
  return module.C_GetTokenInfo(slot).serialNumber.replaceAll("\0", " ").trim();
}

export function openSession(module: pkcs11.PKCS11, slot: Buffer): Session {
  return module.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION);
}

/** A login is the application's, not the session's: it holds for every session of this process. */
export function logIn(module: pkcs11.PKCS11, session: Session, pin: string): void {
  try {
    module.C_Login(session, CKU_USER, pin);
  } catch (error) {
    if (isPkcs11(error, "CKR_USER_ALREADY_LOGGED_IN")) return;
    throw new DomainError("unavailable", "the HSM refused the PIN", {
      hint: "the PIN is in the generator's own directory; `claviger init` made both",
      cause: error,
    });
  }
}

export function isPkcs11(error: unknown, name: string): boolean {
  return error instanceof Error && error.message.includes(name);
}

interface Waiting {
  readonly work: (session: Session) => unknown;
  readonly done: (value: unknown) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * A fixed number of sessions, each with one operation at a time. Callbacks rather than promises: an HSM's
 * signature takes little more than what promises around it would.
 */
export class SessionPool {
  readonly #free: Session[] = [];
  readonly #waiting: Waiting[] = [];

  constructor(module: pkcs11.PKCS11, slot: Buffer, pin: string) {
    for (let count = 0; count < sessionsMax; count += 1) this.#free.push(openSession(module, slot));
    logIn(module, this.#free[0]!, pin);
  }

  /** Calls `work` with a session once one is free, and then `done` or `failed`, once. */
  use(work: Waiting["work"], done: Waiting["done"], failed: Waiting["failed"]): void {
    if (this.#waiting.length >= waitingMax) {
      failed(
        new DomainError("exhausted", "the HSM has more work than it can do", { hint: "try again later" }),
      );
      return;
    }
    this.#waiting.push({ work, done, failed });
    const session = this.#free.pop();
    if (session !== undefined) this.#serve(session);
  }

  /** Until nothing waits, or what was begun has to be waited for. */
  #serve(session: Session): void {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#free.push(session);
        return;
      }
      try {
        const outcome = next.work(session);
        if (outcome instanceof Promise) {
          const andOn = (tell: (outcome: unknown) => void) => (outcome: unknown) => {
            tell(outcome);
            this.#serve(session);
          };
          outcome.then(andOn(next.done), andOn(next.failed));
          return;
        }
        next.done(outcome);
      } catch (error) {
        next.failed(error);
      }
    }
  }
}
