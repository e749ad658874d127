import { DomainError, isDomainError } from "@claviger/domain-error";
import type pkcs11 from "pkcs11js";
import { Deadlines } from "./deadlines.ts";
import { findToken, isPkcs11, type Session, SessionPool, serialOf } from "./sessions.ts";
import { TokenObjects } from "./token-objects.ts";

export interface ConnectionOptions {
  module: pkcs11.PKCS11;
  tokenLabel: string;
  pin: string;
  /** Of the token that is the right one; undefined takes whichever has the label. */
  serial?: string | undefined;
  /** How long one operation may take before its caller is refused. */
  deadlineMilliseconds?: number;
  onTrouble?: (what: string) => void;
}

interface Link {
  readonly pool: SessionPool;
  readonly objects: TokenObjects;
}

const deadlineMillisecondsDefault = 10_000;
const reconnectMilliseconds = 250;
/** So many operations in a row without an answer: the HSM counts as away, and callers are refused at once. */
const silencesMax = 8;

/** Errors after which sessions, and the objects in them, are no more (PKCS#11 v3.0 section 5.1). */
const goneErrors = [
  "CKR_DEVICE_REMOVED",
  "CKR_DEVICE_ERROR",
  "CKR_TOKEN_NOT_PRESENT",
  "CKR_TOKEN_NOT_RECOGNIZED",
  "CKR_SLOT_ID_INVALID",
  "CKR_SESSION_CLOSED",
  "CKR_SESSION_HANDLE_INVALID",
  "CKR_USER_NOT_LOGGED_IN",
  "CKR_CRYPTOKI_NOT_INITIALIZED",
];

export function isGone(error: unknown): boolean {
  return goneErrors.some((name) => isPkcs11(error, name));
}

/**
 * Sessions with one token, through its going and coming. While it is away callers are refused at once;
 * when the same token is back, sessions are opened and logged in anew, and whoever kept keys in the old
 * ones is told.
 */
export class HsmConnection {
  readonly #options: ConnectionOptions;
  readonly #serial: string;
  readonly #deadlines: Deadlines;
  readonly #returnListeners: (() => void)[] = [];
  #link: Link | undefined;
  #epoch = 1;
  #silences = 0;
  #closed = false;

  /** @throws DomainError `unavailable` where the token is not there, or refuses the PIN */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { deadlineMilliseconds = deadlineMillisecondsDefault } = options;
    this.#deadlines = new Deadlines(deadlineMilliseconds);
    const slot = this.#findSlot();
    this.#serial = serialOf(options.module, slot);
    if (options.serial !== undefined && options.serial !== this.#serial) {
      const found = `the HSM token ${options.tokenLabel} is ${this.#serial}, and ${options.serial} is the right one`;
      throw new DomainError("failed-precondition", found, {
        hint: `if it was replaced on purpose: claviger init --accept-token ${this.#serial}`,
      });
    }
    this.#link = this.#open(slot);
  }

  /** Counts the token's comings: a key that was unwrapped under an earlier one is no more. */
  get epoch(): number {
    return this.#epoch;
  }

  onReturn(listener: () => void): void {
    this.#returnListeners.push(listener);
  }

  /** @throws DomainError `unavailable` */
  run<T>(work: (session: Session, objects: TokenObjects) => Promise<T> | T): Promise<T> {
    const link = this.#link;
    if (link === undefined) return Promise.reject(away());
    return new Promise((resolve, reject) => {
      const underWay = this.#deadlines.begin(() => reject(this.#silence()));
      link.pool.use(
        (session) => work(session, link.objects),
        (result) => {
          // What answers late was given up, and counts as silence.
          if (this.#deadlines.end(underWay)) this.#silences = 0;
          resolve(result as T);
        },
        (error) => {
          this.#deadlines.end(underWay);
          reject(this.#failure(link, error));
        },
      );
    });
  }

  #failure(link: Link, error: unknown): DomainError {
    if (isGone(error)) {
      this.#lose(link, (error as Error).message);
      return away(error);
    }
    if (isDomainError(error)) return error;
    return new DomainError("unavailable", "the HSM failed an operation", { cause: error });
  }

  /** Refuses what belongs to sessions that are no more. @throws DomainError `unavailable` */
  requireCurrent(epoch: number): void {
    if (epoch !== this.#epoch) throw away();
  }

  #silence(): DomainError {
    this.#silences += 1;
    if (this.#silences >= silencesMax && this.#link !== undefined)
      this.#lose(this.#link, "it does not answer");
    return new DomainError("unavailable", "the HSM did not answer in time", { hint: "try again shortly" });
  }

  #lose(link: Link, why: string): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    this.#options.onTrouble?.(`the HSM is away: ${why}`);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#closed) {
      await new Promise((resolve) => setTimeout(resolve, reconnectMilliseconds));
      try {
        this.#takeUpAgain();
        return;
      } catch (error) {
        this.#options.onTrouble?.(`the HSM is away: ${(error as Error).message}`);
      }
    }
  }

  #takeUpAgain(): void {
    const slot = this.#findSlot();
    const serial = serialOf(this.#options.module, slot);
    if (serial !== this.#serial) {
      throw new DomainError("unavailable", `another token took its place: ${serial}, not ${this.#serial}`, {
        hint: `if it was replaced on purpose: claviger init --accept-token ${serial}, then start the generator again`,
      });
    }
    try {
      this.#options.module.C_CloseAllSessions(slot);
    } catch {
      // There may be none left.
    }
    this.#link = this.#open(slot);
    this.#silences = 0;
    this.#epoch += 1;
    for (const listener of this.#returnListeners) listener();
  }

  #findSlot(): Buffer {
    const { module, tokenLabel } = this.#options;
    const slot = findToken(module, tokenLabel);
    if (slot !== undefined) return slot;
    throw new DomainError("unavailable", `there is no HSM token named ${tokenLabel}`, {
      hint: "`claviger init` makes it; if it was there, see that the token directory still is",
    });
  }

  #open(slot: Buffer): Link {
    const { module, pin } = this.#options;
    return { pool: new SessionPool(module, slot, pin), objects: new TokenObjects(module) };
  }

  get slot(): Buffer {
    return this.#findSlot();
  }

  close(): void {
    this.#closed = true;
    this.#link = undefined;
    this.#deadlines.close();
  }
}

function away(cause?: unknown): DomainError {
  return new DomainError("unavailable", "the HSM is away", {
    hint: "try again shortly; `claviger status` shows when it is back",
    cause,
  });
}
