import { DomainError } from "@claviger/domain-error";
import type { Algorithm, Protection } from "../algorithms.ts";
import type { TestedRandom } from "./tested-random.ts";

/** The algorithms that gave a wrong answer, or none at all, by where they are carried out. */
export type FailedSelfTests = Readonly<Record<Protection, ReadonlySet<Algorithm>>>;

/** What this process may serve, by what it has found out about itself. */
export class Health {
  readonly #random: Pick<TestedRandom, "failure">;
  readonly #failed: FailedSelfTests;

  constructor(random: Pick<TestedRandom, "failure">, failed: FailedSelfTests) {
    this.#random = random;
    this.#failed = failed;
  }

  /** @throws DomainError `unavailable` where the algorithm failed its known-answer test under that protection */
  requireServed(algorithm: Algorithm, protection: Protection): void {
    if (!this.#failed[protection].has(algorithm)) return;
    const what = protection === "hsm" ? `${algorithm} in the HSM` : algorithm;
    throw new DomainError("unavailable", `${what} failed its self-test at start, and is not served`, {
      hint: `start the generator again; if it fails again, its ${protection === "hsm" ? "HSM" : "OpenSSL or its memory"} is damaged`,
    });
  }

  /** For `claviger status`. @throws Error that names what failed */
  report(): void {
    const { failure } = this.#random;
    if (failure !== undefined) throw new Error(`the HSM's random source failed its ${failure} test`);
    const { hsm, software } = this.#failed;
    const failed = [...software, ...[...hsm].map((algorithm) => `${algorithm} in the HSM`)];
    if (failed.length > 0) throw new Error(`failed at start, and not served: ${failed.join(", ")}`);
  }
}
