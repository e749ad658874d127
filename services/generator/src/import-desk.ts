import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import {
  createRecipient,
  type SealContext,
  type SealedSecret,
  type SecretRecipient,
} from "@claviger/sealed-secret";
import type { SecretBytes } from "@claviger/secret-bytes";

interface Pending {
  recipient: SecretRecipient;
  /** Who asked, and for which key: nobody else uses it, nor for another. */
  caller: string;
  name: string;
  /** On the monotonic clock. */
  expiresAt: number;
}

const lifetimeMilliseconds = 600_000;
const pendingMax = 1000;
const pendingPerCallerMax = 10;

/** Wrapping keys for imports: each for one caller, one name, one use and ten minutes, in this process's memory. */
export class ImportDesk {
  readonly #pending = new Map<string, Pending>();

  async begin(
    caller: string,
    name: string,
  ): Promise<{ id: string; publicKey: Uint8Array; lifetimeMilliseconds: number }> {
    this.#forgetExpired();
    const own = [...this.#pending.values()].filter((pending) => pending.caller === caller).length;
    if (own >= pendingPerCallerMax || this.#pending.size >= pendingMax) {
      throw new DomainError("exhausted", "too many imports have been begun and not ended", {
        hint: "end one, or wait ten minutes until they expire",
      });
    }
    const recipient = await createRecipient();
    const id = randomUUID();
    this.#pending.set(id, { recipient, caller, name, expiresAt: performance.now() + lifetimeMilliseconds });
    return { id, publicKey: recipient.publicKey, lifetimeMilliseconds };
  }

  /**
   * Opens what was sealed to a wrapping key, which is gone then, whatever comes of it.
   * @throws DomainError `failed-precondition` where it expired, was used, or is another caller's or key's
   */
  async open(
    id: string,
    by: { caller: string; name: string },
    sealed: SealedSecret,
    method: string,
  ): Promise<SecretBytes> {
    this.#forgetExpired();
    const pending = this.#pending.get(id);
    if (pending === undefined || pending.caller !== by.caller || pending.name !== by.name) {
      throw new DomainError(
        "failed-precondition",
        "there is no such wrapping key of this caller's for this key",
        {
          hint: "a wrapping key is for one import within ten minutes, at the generator that made it: begin again",
        },
      );
    }
    this.#pending.delete(id);
    const context: SealContext = { method, name: by.name, version: 1 };
    return pending.recipient.open(sealed, context);
  }

  #forgetExpired(): void {
    const now = performance.now();
    for (const [id, { expiresAt }] of this.#pending) if (expiresAt <= now) this.#pending.delete(id);
  }
}
