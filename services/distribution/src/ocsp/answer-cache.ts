import type { OcspStatus } from "@claviger/x509";

export interface Answer {
  /** DER of the OCSPResponse. */
  body: Uint8Array;
  status: OcspStatus;
  serial: string;
  /** Milliseconds since the epoch. */
  thisUpdate: number;
  nextUpdate: number;
  etag: string;
  /** When the database was last seen to say the same, by a monotonic clock. */
  confirmedAt: number;
}

const forgottenMax = 10_000;

/** Answers by the CertID that they are for. The one used longest ago goes where there are too many. */
export class AnswerCache {
  readonly #entriesMax: number;
  readonly #answers = new Map<string, Answer>();
  /** CertIDs differ by their hash: a certificate has a few of them. */
  readonly #keysOfSerial = new Map<string, Set<string>>();
  /** What was looked up before something was said about its serial must not be kept after it. */
  readonly #forgottenAt = new Map<string, number>();

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** An answer that clients still accept. */
  get(key: string, now = Date.now()): Answer | undefined {
    const found = this.#answers.get(key);
    if (found === undefined) return undefined;
    if (found.nextUpdate <= now) {
      this.#drop(key, found);
      return undefined;
    }
    // Maps keep the order of insertion: what is used goes to the end.
    this.#answers.delete(key);
    this.#answers.set(key, found);
    return found;
  }

  set(key: string, answer: Answer): void {
    if (answer.confirmedAt < (this.#forgottenAt.get(answer.serial) ?? Number.NEGATIVE_INFINITY)) return;
    const before = this.#answers.get(key);
    if (before !== undefined) this.#drop(key, before);
    this.#answers.set(key, answer);
    const keys = this.#keysOfSerial.get(answer.serial) ?? new Set();
    this.#keysOfSerial.set(answer.serial, keys.add(key));
    if (this.#answers.size <= this.#entriesMax) return;
    const [oldest] = this.#answers;
    if (oldest !== undefined) this.#drop(...oldest);
  }

  /** Something was said about this certificate: what was answered before is no longer given. */
  forget(serial: string): void {
    this.#forgottenAt.delete(serial);
    this.#forgottenAt.set(serial, performance.now());
    const [oldest] = this.#forgottenAt.keys();
    if (oldest !== undefined && this.#forgottenAt.size > forgottenMax) this.#forgottenAt.delete(oldest);
    for (const key of this.#keysOfSerial.get(serial) ?? []) this.#answers.delete(key);
    this.#keysOfSerial.delete(serial);
  }

  /** Events may have been missed: each answer is compared with the database before it is given again. */
  doubt(): void {
    for (const answer of this.#answers.values()) answer.confirmedAt = Number.NEGATIVE_INFINITY;
  }

  #drop(key: string, answer: Answer): void {
    this.#answers.delete(key);
    const keys = this.#keysOfSerial.get(answer.serial);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysOfSerial.delete(answer.serial);
  }
}
