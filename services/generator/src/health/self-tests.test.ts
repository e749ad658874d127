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

const well = { failure: undefined };

test("what failed is not served, and is named", () => {
  const health = new Health(well, { software: new Set(["ml-dsa-65"]), hsm: new Set(["aes-256-gcm"]) });
  expect(() => health.requireServed("ml-dsa-65", "software")).toThrow("failed its self-test");
  expect(() => health.requireServed("ml-dsa-44", "software")).not.toThrow();
  expect(() => health.requireServed("aes-256-gcm", "hsm")).toThrow("in the HSM failed its self-test");
  expect(() => health.requireServed("aes-256-gcm", "software")).not.toThrow();
  expect(() => health.report()).toThrow("ml-dsa-65, aes-256-gcm in the HSM");
  const none = { software: new Set<never>(), hsm: new Set<never>() };
  expect(() => new Health({ failure: "repetition-count" }, none).report()).toThrow("repetition-count");
  expect(() => new Health(well, none).report()).not.toThrow();
});
