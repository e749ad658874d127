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

/** A fixed number of sessions, handed out one operation at a time. */
export class SessionPool {
  readonly #free: Session[] = [];
  readonly #waiting: ((session: Session) => void)[] = [];

  constructor(module: pkcs11.PKCS11, slot: Buffer, pin: string) {
    for (let count = 0; count < sessionsMax; count += 1) this.#free.push(openSession(module, slot));
    logIn(module, this.#free[0]!, pin);
  }

  async use<T>(work: (session: Session) => Promise<T> | T): Promise<T> {
    const session = this.#free.pop() ?? (await this.#wait());
    try {
      return await work(session);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(session);
      else next(session);
    }
  }

  #wait(): Promise<Session> {
    if (this.#waiting.length >= waitingMax) {
      return Promise.reject(
        new DomainError("exhausted", "the HSM has more work than it can do", { hint: "try again later" }),
      );
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
