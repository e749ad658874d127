import { DomainError } from "@claviger/domain-error";
import type { Algorithm } from "../algorithms.ts";
import type { TestedRandom } from "./tested-random.ts";

/** What this process may serve, by what it has found out about itself. */
export class Health {
  readonly #random: Pick<TestedRandom, "failure">;
  readonly #failed: ReadonlySet<Algorithm>;

  constructor(random: Pick<TestedRandom, "failure">, failedSelfTests: ReadonlySet<Algorithm>) {
    this.#random = random;
    this.#failed = failedSelfTests;
  }

  /** @throws DomainError `unavailable` where the algorithm failed its known-answer test */
  requireServed(algorithm: Algorithm): void {
    if (!this.#failed.has(algorithm)) return;
    throw new DomainError("unavailable", `${algorithm} failed its self-test at start, and is not served`, {
      hint: "start the generator again; if it fails again, its OpenSSL or its memory is damaged",
    });
  }

  /** For `claviger status`. @throws Error that names what failed */
  report(): void {
    const { failure } = this.#random;
    if (failure !== undefined) throw new Error(`the HSM's random source failed its ${failure} test`);
    if (this.#failed.size > 0)
      throw new Error(`failed at start, and not served: ${[...this.#failed].join(", ")}`);
  }
}
