/**
 * The health tests of SP 800-90B section 4.4 over bytes. They find a source that is stuck or has become
 * grossly biased, and are no measure of entropy: what an HSM delivers has been conditioned, and passes
 * while its conditioning works, whatever lies behind it.
 */

/** What we hold against a source: one bit a byte is far below what it claims, so that only failure alarms. */
const entropyBitsPerByte = 1;
/** False alarms: 2^-30 for each window of a source that is only just so good, and never in practice for a good one. */
const falsePositiveExponent = 30;
export const windowBytes = 512;

/** Section 4.4.1: C = 1 + ⌈−log2 α / H⌉. */
export const repetitionCutoff = 1 + Math.ceil(falsePositiveExponent / entropyBitsPerByte);
/** Section 4.4.2: C = 1 + CRITBINOM(W, 2^−H, 1 − α). */
export const proportionCutoff =
  1 + criticalBinomial(windowBytes, 2 ** -entropyBitsPerByte, falsePositiveExponent);

/** The smallest k with P(X > k) ≤ 2^−exponent for X binomial in `trials` and `probability`. */
export function criticalBinomial(trials: number, probability: number, exponent: number): number {
  const logOf = (successes: number): number =>
    logChoose(trials, successes) +
    successes * Math.log(probability) +
    (trials - successes) * Math.log1p(-probability);
  let tail = 0;
  for (let successes = trials; successes >= 0; successes -= 1) {
    tail += Math.exp(logOf(successes));
    if (tail > 2 ** -exponent) return successes;
  }
  return 0;
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let at = 1; at <= k; at += 1) sum += Math.log(n - k + at) - Math.log(at);
  return sum;
}

export type RandomnessFailure = "repetition-count" | "adaptive-proportion";

/** Both tests, over a stream of bytes that may come in pieces. A failure is for good. */
export class RandomnessTests {
  #last = -1;
  #repeated = 0;
  #reference = -1;
  #matches = 0;
  #inWindow = 0;
  #failure: RandomnessFailure | undefined;

  get failure(): RandomnessFailure | undefined {
    return this.#failure;
  }

  feed(bytes: Uint8Array): RandomnessFailure | undefined {
    for (const byte of bytes) {
      this.#countRepetition(byte);
      this.#countProportion(byte);
    }
    return this.#failure;
  }

  #countRepetition(byte: number): void {
    this.#repeated = byte === this.#last ? this.#repeated + 1 : 1;
    this.#last = byte;
    if (this.#repeated >= repetitionCutoff) this.#failure ??= "repetition-count";
  }

  #countProportion(byte: number): void {
    if (this.#inWindow === 0) {
      this.#reference = byte;
      this.#matches = 0;
    }
    if (byte === this.#reference) this.#matches += 1;
    if (this.#matches >= proportionCutoff) this.#failure ??= "adaptive-proportion";
    this.#inWindow = (this.#inWindow + 1) % windowBytes;
  }
}
