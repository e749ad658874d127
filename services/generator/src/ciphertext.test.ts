import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeader, parseCiphertext, tagBytes, uuidBytes } from "./ciphertext.ts";

const keyId = "01234567-89ab-4cde-8f01-23456789abcd";
const headerBytes = 37;

test("a header says key, version, suite and nonce, and is read back", () => {
  for (const suite of ["aes-256-gcm", "aes-192-gcm", "aes-128-gcm", "rsa-oaep-sha256"] as const) {
    const nonce = randomBytes(suite === "rsa-oaep-sha256" ? 0 : 12);
    const header = encodeHeader(uuidBytes(keyId), 0xfffffffe, suite, nonce);
    const sealed = randomBytes(40);
    const parsed = parseCiphertext(Buffer.concat([header, sealed]));
    expect(parsed).toEqual({ keyId, version: 0xfffffffe, suite, nonce, sealed, header });
  }
});

test("what is too short, or begins otherwise, is not a ciphertext of ours", () => {
  const header = encodeHeader(uuidBytes(keyId), 1, "aes-256-gcm", randomBytes(12));
  const whole = Buffer.concat([header, Buffer.alloc(tagBytes)]);
  expect(parseCiphertext(whole)).toBeDefined();
  for (let length = 0; length < headerBytes + tagBytes; length += 1) {
    expect(parseCiphertext(whole.subarray(0, length))).toBeUndefined();
  }
  for (const at of [0, 1, 2, 3, 24]) {
    const changed = Buffer.from(whole);
    changed[at] = changed[at]! ^ 0x10;
    expect(parseCiphertext(changed)).toBeUndefined();
  }
});

test("no bytes whatever make the parser fail", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(() => parseCiphertext(bytes)).not.toThrow();
    }),
  );
});
