import type { AccessQuestion } from "@claviger/access";
import type { ColumnCipher } from "@claviger/column-cipher";
import type { Database } from "@claviger/database";
import type { AuthenticationStrength } from "@claviger/identity";
import { Rounds } from "@claviger/service";
import { isKeyName, isKeyringName } from "./names.ts";
import { forgetAccessCallers, keepAccessCallers } from "./store/access-callers.ts";
import { forgetStrengths, keepStrengths } from "./store/identity-strengths.ts";

const writeEveryMilliseconds = 10_000;
/** What was written is not written again for so long: a row an hour, however often somebody calls. */
const silenceMilliseconds = 3_600_000;
const forgetEveryMilliseconds = 3_600_000;
const keptMilliseconds = 30 * 86_400_000;
const waitingMax = 10_000;
const writtenMax = 100_000;
const rowsOfWrite = 2_000;
/** Of one identity between two writes: who asks for one name after the other does not push out the others. */
const waitingOfIdentityMax = 200;
const callersOfIdentityMax = 2_000;
const strengthsOfIdentityMax = 20;

/**
 * What storage sees of callers: who asked for what, and how they authenticate. It is noted in memory as decisions pass,
 * and written by the way: nobody waits for it, what does not fit is left out, and a kill loses some seconds of it.
 */
export class Observations implements AsyncDisposable {
  readonly #options: {
    columns: ColumnCipher;
    database: Database;
    onTrouble: (what: string) => void;
    now?: () => Date;
  };
  readonly #callers = new Coalesced<{ identity: string; permission: string; resource: string }>();
  readonly #strengths = new Coalesced<AuthenticationStrength & { identity: string }>();
  readonly #rounds: Rounds;
  #forgottenAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    columns: ColumnCipher;
    database: Database;
    onTrouble: (what: string) => void;
    now?: () => Date;
  }) {
    this.#options = options;
    this.#rounds = new Rounds({
      everyMilliseconds: writeEveryMilliseconds,
      work: () => this.write(),
      waiting: "what was seen of callers waits",
      onTrouble: options.onTrouble,
    });
  }

  /** Costs a look into a map. */
  note(
    { authentication, identity, permission, resource }: AccessQuestion,
    { allowed }: { allowed: boolean },
  ): void {
    const now = this.#now();
    if (authentication !== undefined) {
      const { keyBits, keyExchange, keyType, lifetimeHours, signatureAlgorithm, tlsVersion } = authentication;
      const seen = { keyBits, keyExchange, keyType, lifetimeHours, signatureAlgorithm, tlsVersion };
      this.#strengths.note(identity, Object.values(seen).join("\n"), { identity, ...seen }, now);
    }
    // Services have grants of their own, which no policy changes.
    if (!allowed || permission === "" || servicePattern.test(identity) || !isResource(resource)) return;
    this.#callers.note(identity, `${permission}\n${resource}`, { identity, permission, resource }, now);
  }

  /** One piece of what waits; resolves to whether there is more. */
  async write(): Promise<boolean> {
    const callers = this.#callers.take(rowsOfWrite);
    const strengths = this.#strengths.take(rowsOfWrite);
    const { columns, database } = this.#options;
    if (callers.length + strengths.length > 0) {
      await database.transaction(async (tx) => {
        if (callers.length > 0) {
          await keepAccessCallers(
            tx,
            columns,
            callers.map(({ at, value }) => ({ ...value, lastAskedAt: at })),
          );
        }
        if (strengths.length > 0) {
          await keepStrengths(
            tx,
            columns,
            strengths.map(({ at, value }) => ({ ...value, lastSeenAt: at })),
          );
        }
      });
    }
    if (performance.now() - this.#forgottenAt > forgetEveryMilliseconds) {
      this.#forgottenAt = performance.now();
      const before = new Date(this.#now().getTime() - keptMilliseconds);
      await database.transaction((tx) => forgetAccessCallers(tx, before, callersOfIdentityMax));
      await database.transaction((tx) => forgetStrengths(tx, before, strengthsOfIdentityMax));
    }
    return this.#callers.waits || this.#strengths.waits;
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
    try {
      while (await this.write()) {
        // Until nothing waits.
      }
    } catch (error) {
      this.#options.onTrouble(`what was seen of callers is lost: ${(error as Error).message}`);
    }
  }
}

const servicePattern = /^spiffe:\/\/[^/]+\/claviger\//;

function isResource(resource: string): boolean {
  return resource === "*" || isKeyringName(resource) || isKeyName(resource);
}

interface Seen<T> {
  at: Date;
  value: T;
}

/** What waits to be written, each thing once, and not what was written a short time ago. */
export class Coalesced<T> {
  readonly #waiting = new Map<string, Seen<T>>();
  readonly #written = new Map<string, number>();
  readonly #ofIdentity = new Map<string, number>();

  get waits(): boolean {
    return this.#waiting.size > 0;
  }

  note(identity: string, text: string, value: T, at: Date): void {
    const place = `${identity}\n${text}`;
    const written = this.#written.get(place);
    if (written !== undefined && at.getTime() - written < silenceMilliseconds) return;
    if (this.#waiting.has(place) || this.#waiting.size >= waitingMax) return;
    const waiting = this.#ofIdentity.get(identity) ?? 0;
    if (waiting >= waitingOfIdentityMax) return;
    this.#ofIdentity.set(identity, waiting + 1);
    this.#waiting.set(place, { at, value });
  }

  /** What is taken counts as written: where the write fails, it is noted again within the hour. */
  take(limit: number): Seen<T>[] {
    const taken: Seen<T>[] = [];
    for (const [place, seen] of this.#waiting) {
      if (taken.length >= limit) break;
      this.#waiting.delete(place);
      this.#written.delete(place);
      this.#written.set(place, seen.at.getTime());
      taken.push(seen);
    }
    if (this.#waiting.size === 0) this.#ofIdentity.clear();
    while (this.#written.size > writtenMax) this.#written.delete(this.#written.keys().next().value!);
    return taken;
  }
}
