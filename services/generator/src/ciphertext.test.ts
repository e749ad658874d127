import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeader, headerBytes, parseCiphertext, tagBytes, uuidBytes } from "./ciphertext.ts";

const keyId = "01234567-89ab-4cde-8f01-23456789abcd";

test("a header says key, version and nonce, and is read back", () => {
  const nonce = randomBytes(12);
  const header = encodeHeader(uuidBytes(keyId), 0xfffffffe, nonce);
  const sealed = randomBytes(40);
  const parsed = parseCiphertext(Buffer.concat([header, sealed]));
  expect(parsed).toMatchObject({ keyId, version: 0xfffffffe });
  expect(parsed.nonce).toEqual(nonce);
  expect(parsed.sealed).toEqual(sealed);
  expect(parsed.header).toEqual(header);
});

test("what is too short, or begins otherwise, is not a ciphertext of ours", () => {
  const whole = Buffer.concat([encodeHeader(uuidBytes(keyId), 1, randomBytes(12)), Buffer.alloc(tagBytes)]);
  expect(() => parseCiphertext(whole)).not.toThrow();
  for (let length = 0; length < headerBytes + tagBytes; length += 1) {
    expect(() => parseCiphertext(whole.subarray(0, length))).toThrow("too short");
  }
  for (const at of [0, 1, 2, 3, 24]) {
    const changed = Buffer.from(whole);
    changed[at] = changed[at]! ^ 0x10;
    expect(() => parseCiphertext(changed)).toThrow("not a ciphertext");
  }
});

test("no bytes whatever make the parser fail in another way", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        parseCiphertext(bytes);
      } catch (error) {
        expect(error).toMatchObject({ kind: "integrity" });
      }
    }),
  );
});
