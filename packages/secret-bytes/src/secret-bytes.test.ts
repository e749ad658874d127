import { inspect } from "node:util";
import { expect, test } from "vitest";
import { SecretBytes } from "./index.ts";

test("a secret prints as redacted and refuses to be serialised", () => {
  using secret = SecretBytes.take(new Uint8Array([1, 2, 3]));
  expect(`${secret}`).toBe("[redacted]");
  expect(inspect({ secret })).toContain("[redacted]");
  expect(() => JSON.stringify({ secret })).toThrow("serialised");
});

test("taking a secret clears its source, disposing clears the secret and forbids its use", () => {
  const source = new Uint8Array([9, 9, 9]);
  const secret = SecretBytes.take(source);
  const view = secret.expose();
  expect([...source]).toEqual([0, 0, 0]);
  expect([...view]).toEqual([9, 9, 9]);
  secret[Symbol.dispose]();
  expect([...view]).toEqual([0, 0, 0]);
  expect(() => secret.expose()).toThrow("cleared");
});

test("a secret has a buffer of its own, outside the pool that Buffers share", () => {
  using secret = SecretBytes.allocate(32);
  expect(secret.expose().buffer.byteLength).toBe(32);
});
