import { expect, test } from "vitest";
import { Health } from "./health.ts";
import { runSelfTests } from "./self-tests.ts";

test("every algorithm gives its known answers", async () => {
  const failed = await runSelfTests();
  expect([...failed]).toEqual([]);
});

test("an algorithm whose test cannot run counts as failed, and the others do not", async () => {
  const failed = await runSelfTests(async () => {
    throw new Error("no randomness");
  });
  expect([...failed].sort()).toEqual(
    ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"].sort(),
  );
});

test("what failed is not served, and is named", () => {
  const health = new Health({ failure: undefined }, new Set(["ml-dsa-65"] as const));
  expect(() => health.requireServed("ml-dsa-65")).toThrow("failed its self-test");
  expect(() => health.requireServed("ml-dsa-44")).not.toThrow();
  expect(() => health.report()).toThrow("ml-dsa-65");
  expect(() => new Health({ failure: "repetition-count" }, new Set()).report()).toThrow("repetition-count");
  expect(() => new Health({ failure: undefined }, new Set()).report()).not.toThrow();
});
