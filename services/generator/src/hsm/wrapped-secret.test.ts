import { SecretBytes } from "@claviger/secret-bytes";
import fc from "fast-check";
import { expect, test } from "vitest";
import { padSecret, unpadSecret } from "./wrapped-secret.ts";

test("a secret of any length is padded to a multiple of eight and comes back whole", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      const padded = padSecret(SecretBytes.take(Uint8Array.from(bytes)));
      expect(padded.length % 8).toBe(0);
      expect([...unpadSecret(padded).expose()]).toEqual([...bytes]);
    }),
  );
});

test("a length that cannot be, or padding that is not zero, is refused", () => {
  const bad = (bytes: number[]) => () => unpadSecret(SecretBytes.take(Uint8Array.from(bytes)));
  expect(bad([0, 0, 0, 0, 1, 1, 1, 1])).toThrow("impossible length");
  expect(bad([0, 0, 0, 5, 1, 1, 1, 1])).toThrow("impossible length");
  expect(bad([255, 255, 255, 255, 1, 1, 1, 1])).toThrow("impossible length");
  expect(bad([0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])).toThrow("impossible length");
  expect(bad([0, 0, 0, 1, 1, 0, 9, 0])).toThrow("not zero");
});
