import { createCipheriv } from "node:crypto";
import { SecretBytes } from "@claviger/secret-bytes";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { padSecret, unpadSecret } from "../../services/generator/src/hsm/wrapped-secret.ts";
import { unwrapWithPadding } from "../harness/key-unwrap.ts";
import { fromHex, readWycheproof, type WycheproofCase } from "./vectors.ts";

interface WrapGroup {
  keySize: number;
  tests: (WycheproofCase & { key: string; msg: string; ct: string })[];
}

const wycheproof = readWycheproof<WrapGroup>("aes_kwp_test.json");

function wrapWithPadding(key: Buffer, secret: Uint8Array): Buffer {
  const cipher = createCipheriv(`id-aes${key.length * 8}-wrap-pad`, key, fromHex("A65959A6"));
  return Buffer.concat([cipher.update(secret), cipher.final()]);
}

// RFC 5649 section 6.
const kek = "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8";
const examples = [
  {
    secret: "c37b7e6492584340bed12207808941155068f738",
    wrapped: "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
  },
  { secret: "466f7250617369", wrapped: "afbeb0f07dfbf5419200f2ccb50bb24f" },
];

describe("what opens the recovery wraps", () => {
  test.each(examples)("agrees with RFC 5649's example of $secret", ({ secret, wrapped }) => {
    expect(unwrapWithPadding(fromHex(kek), fromHex(wrapped)).toString("hex")).toBe(secret);
    expect(wrapWithPadding(fromHex(kek), fromHex(secret)).toString("hex")).toBe(wrapped);
  });

  test("is not the older key wrap: RFC 3394's example is refused, though its length would fit", () => {
    // RFC 3394 section 4.6: 256 bits of key data under a 256-bit key.
    const key = fromHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    const secret = fromHex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
    const wrapped = fromHex(
      "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
    );
    const cipher = createCipheriv("id-aes256-wrap", key, fromHex("a6a6a6a6a6a6a6a6"));
    expect(Buffer.concat([cipher.update(secret), cipher.final()])).toEqual(wrapped);
    expect(() => unwrapWithPadding(key, wrapped)).toThrow();
  });

  test("refuses every wrap that one bit was changed in", () => {
    const key = Buffer.alloc(32, 5);
    const wrapped = wrapWithPadding(key, Buffer.alloc(32, 9));
    expect(wrapped.length).toBe(40);
    for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
      const changed = Buffer.from(wrapped);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => unwrapWithPadding(key, changed)).toThrow();
    }
  });

  test.skipIf(wycheproof === undefined)("opens, or refuses, every case of wycheproof's as it says", () => {
    const counts = { valid: 0, invalid: 0, acceptable: 0 };
    const wrong: string[] = [];
    for (const { comment, ct, key, msg, result, tcId } of wycheproof!.testGroups.flatMap(
      ({ tests }) => tests,
    )) {
      counts[result] += 1;
      let opened: string | undefined;
      try {
        opened = unwrapWithPadding(fromHex(key), fromHex(ct)).toString("hex");
      } catch {
        opened = undefined;
      }
      const asWanted = result === "invalid" ? opened === undefined : opened === msg;
      // "acceptable" leaves both open, but never another secret.
      if (!asWanted && !(result === "acceptable" && opened === undefined)) {
        wrong.push(`case ${tcId} (${result}): ${comment}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(counts.valid + counts.invalid + counts.acceptable).toBe(wycheproof!.numberOfTests);
  });
});

test("a secret of any length comes back out of its padding, and no other bytes are taken for one", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      using secret = SecretBytes.take(Uint8Array.from(bytes));
      using padded = padSecret(secret);
      expect(padded.length % 8).toBe(0);
      using back = unpadSecret(padded);
      expect([...back.expose()]).toEqual([...bytes]);
      const last = padded.expose().length - 1;
      if (last < 4 + bytes.length) return;
      padded.expose()[last] = 1;
      expect(() => unpadSecret(padded)).toThrow("padding");
    }),
  );
});
