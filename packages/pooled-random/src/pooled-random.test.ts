import { expect, test } from "vitest";
import { pooledRandomBytes } from "./index.ts";

test("nothing is given out twice, across draws of the pool and for sizes beyond it", () => {
  const drawn = Array.from({ length: 5000 }, (_, at) => pooledRandomBytes(12 + (at % 5)).toString("hex"));
  expect(new Set(drawn).size).toBe(drawn.length);
  const large = pooledRandomBytes(40_000);
  expect(large).toHaveLength(40_000);
  const small = pooledRandomBytes(16);
  expect(large.includes(small)).toBe(false);
  expect(new Set(large).size).toBe(256);
});
