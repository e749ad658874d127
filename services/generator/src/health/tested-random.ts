import { randomBytes } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { SecretBytes } from "@claviger/secret-bytes";
import type { Hsm } from "../hsm/port.ts";
import { type RandomnessFailure, RandomnessTests } from "./randomness-tests.ts";

/** SP 800-90B section 4.3: at start, at least 1,024 samples before the first is used. */
const startupBytes = 1024;

/** The HSM's random bytes, tested as they come. Once they fail, nothing is generated until the process begins anew. */
export class TestedRandom {
  readonly #hsm: Pick<Hsm, "random">;
  readonly #tests = new RandomnessTests();
  readonly #onFailure: (failure: RandomnessFailure) => void;
  #told = false;
  #started: Promise<void> | undefined;

  constructor(hsm: Pick<Hsm, "random">, onFailure: (failure: RandomnessFailure) => void) {
    this.#hsm = hsm;
    this.#onFailure = onFailure;
  }

  get failure(): RandomnessFailure | undefined {
    return this.#tests.failure;
  }

  /** @throws DomainError `unavailable` where the source has failed */
  async fromHsm(lengthBytes: number): Promise<SecretBytes> {
    this.#started ??= this.#draw(startupBytes).then((secret) => secret[Symbol.dispose]());
    try {
      await this.#started;
    } catch (error) {
      // The HSM may only have been away: the next caller tries again.
      this.#started = undefined;
      throw error;
    }
    return this.#draw(lengthBytes);
  }

  /** HSM and operating system combined by exclusive or, so that neither alone decides. */
  async mixed(lengthBytes: number): Promise<SecretBytes> {
    using theirs = await this.fromHsm(lengthBytes);
    return SecretBytes.take(randomBytes(lengthBytes)).mix(theirs);
  }

  /** @throws DomainError `unavailable` where the source has failed: no key is made from it, in the HSM either */
  async requireHealthy(): Promise<void> {
    (await this.fromHsm(1))[Symbol.dispose]();
  }

  async #draw(lengthBytes: number): Promise<SecretBytes> {
    this.#refuseFailed();
    const drawn = SecretBytes.take(await this.#hsm.random(lengthBytes));
    this.#tests.feed(drawn.expose());
    if (this.#tests.failure !== undefined) {
      drawn[Symbol.dispose]();
      if (!this.#told) this.#onFailure(this.#tests.failure);
      this.#told = true;
    }
    this.#refuseFailed();
    return drawn;
  }

  #refuseFailed(): void {
    if (this.#tests.failure === undefined) return;
    throw new DomainError(
      "unavailable",
      `the HSM's random source failed its ${this.#tests.failure} test, so nothing is generated`,
      { hint: "have the HSM looked at; the tests begin anew when the generator is started again" },
    );
  }
}
