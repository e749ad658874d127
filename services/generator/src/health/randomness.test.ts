import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import {
  criticalBinomial,
  proportionCutoff,
  RandomnessTests,
  repetitionCutoff,
  windowBytes,
} from "./randomness-tests.ts";
import { TestedRandom } from "./tested-random.ts";

test("the cutoffs are those of SP 800-90B's formulas", () => {
  // Section 4.4.1 with α = 2^-30 and H = 1, section 4.4.2 with W = 512.
  expect(repetitionCutoff).toBe(31);
  // P(X > 324) and P(X > 323) of 512 fair coins lie on either side of 2^-30.
  expect(proportionCutoff).toBe(1 + criticalBinomial(512, 0.5, 30));
  expect(proportionCutoff).toBeGreaterThan(315);
  expect(proportionCutoff).toBeLessThan(335);
  // A known critical value: SP 800-90B's example of H = 8 and W = 512 with α = 2^-20 has the cutoff 13.
  expect(1 + criticalBinomial(512, 2 ** -8, 20)).toBe(13);
});

test("a stuck source is caught within 1,024 samples, whatever byte it is stuck at", () => {
  for (let byte = 0; byte < 256; byte += 1) {
    const tests = new RandomnessTests();
    tests.feed(randomBytes(777));
    expect(tests.feed(Buffer.alloc(1024, byte))).toBe("repetition-count");
  }
});

test("a source that gives one byte too often is caught, though it never repeats it for long", () => {
  const tests = new RandomnessTests();
  const biased = Buffer.from(
    Array.from({ length: 4 * windowBytes }, (_, at) => (at % 4 === 3 ? at & 0xff : 9)),
  );
  expect(tests.feed(biased)).toBe("adaptive-proportion");
});

test("a good source passes, in pieces of any length", () => {
  const tests = new RandomnessTests();
  for (let count = 0; count < 2000; count += 1) expect(tests.feed(randomBytes(count % 700))).toBeUndefined();
});

test("no key is made from a source that is stuck, at first or later, and the failure is told once", async () => {
  let stuck = false;
  const told: string[] = [];
  const hsm = { random: async (length: number) => (stuck ? Buffer.alloc(length, 7) : randomBytes(length)) };
  const random = new TestedRandom(hsm, (failure) => told.push(failure));
  expect((await random.mixed(32)).length).toBe(32);
  stuck = true;
  await expect(random.mixed(32)).rejects.toMatchObject({ kind: "unavailable" });
  stuck = false;
  await expect(random.mixed(32)).rejects.toMatchObject({ kind: "unavailable" });
  await expect(random.requireHealthy()).rejects.toMatchObject({ kind: "unavailable" });
  expect(told).toEqual(["repetition-count"]);
  const fromTheStart = new TestedRandom({ random: async (length) => Buffer.alloc(length) }, () => undefined);
  await expect(fromTheStart.mixed(1)).rejects.toMatchObject({ kind: "unavailable" });
});

test("an HSM that was away at the start is asked again", async () => {
  let away = true;
  const random = new TestedRandom(
    {
      async random(length) {
        if (away) throw new Error("away");
        return randomBytes(length);
      },
    },
    () => undefined,
  );
  await expect(random.mixed(8)).rejects.toThrow("away");
  away = false;
  expect((await random.mixed(8)).length).toBe(8);
});
