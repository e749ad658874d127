import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AesGcmKey } from "./index.ts";

const bytes = (lengths: { minLength?: number; maxLength: number }) => fc.uint8Array(lengths);
const messages = fc.record({
  key: fc.constantFrom(16, 24, 32).chain((length) => bytes({ minLength: length, maxLength: length })),
  nonce: bytes({ minLength: 12, maxLength: 12 }),
  header: bytes({ maxLength: 40 }),
  associatedData: bytes({ maxLength: 100 }),
  plaintext: bytes({ maxLength: 600 }),
});

function cipherOf(key: Uint8Array): "aes-256-gcm" {
  return `aes-${key.length * 8}-gcm` as "aes-256-gcm";
}

describe("AES-GCM over Node's OpenSSL", () => {
  it("seals what node:crypto opens, and opens what it seals, with one key in both directions", () => {
    fc.assert(
      fc.property(messages, ({ associatedData, header, key, nonce, plaintext }) => {
        using ours = new AesGcmKey(key);
        const whole = ours.seal(header, nonce, associatedData, plaintext);
        const theirs = createDecipheriv(cipherOf(key), key, nonce).setAAD(
          Buffer.concat([header, associatedData]),
        );
        theirs.setAuthTag(whole.subarray(whole.length - 16));
        const opened = theirs.update(whole.subarray(header.length, whole.length - 16));
        theirs.final();
        expect(opened).toEqual(Buffer.from(plaintext));

        const cipher = createCipheriv(cipherOf(key), key, nonce).setAAD(associatedData);
        const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
        expect(ours.open(new Uint8Array(0), nonce, associatedData, sealed)).toEqual(Buffer.from(plaintext));
        expect(ours.seal(header, nonce, associatedData, plaintext)).toEqual(whole);
      }),
    );
  });

  it("opens nothing of which one bit is another", () => {
    fc.assert(
      fc.property(
        messages,
        fc.nat(),
        fc.nat(7),
        ({ associatedData, header, key, nonce, plaintext }, at, bit) => {
          using ours = new AesGcmKey(key);
          const sealed = ours.seal(header, nonce, associatedData, plaintext).subarray(header.length);
          for (const part of [header, nonce, associatedData, sealed].filter(({ length }) => length > 0)) {
            part[at % part.length]! ^= 1 << bit;
            expect(ours.open(header, nonce, associatedData, sealed)).toBeUndefined();
            part[at % part.length]! ^= 1 << bit;
          }
          expect(ours.open(header, nonce, associatedData, sealed)).toEqual(Buffer.from(plaintext));
          expect(ours.open(header, nonce, associatedData, sealed.subarray(0, 15))).toBeUndefined();
        },
      ),
    );
  });

  it("is of no use after it was let go of", () => {
    const key = new AesGcmKey(randomBytes(32));
    const sealed = key.seal(new Uint8Array(0), randomBytes(12), new Uint8Array(0), randomBytes(9));
    key[Symbol.dispose]();
    key[Symbol.dispose]();
    expect(() => key.seal(sealed, randomBytes(12), sealed, sealed)).toThrow("destroyed");
    expect(() => key.open(sealed, randomBytes(12), sealed, sealed)).toThrow("destroyed");
  });

  it("refuses keys and nonces of other lengths", () => {
    const none = new Uint8Array(0);
    for (const length of [0, 15, 17, 31, 33, 64])
      expect(() => new AesGcmKey(randomBytes(length))).toThrow(TypeError);
    using key = new AesGcmKey(randomBytes(32));
    for (const length of [0, 8, 11, 13, 16]) {
      expect(() => key.seal(none, randomBytes(length), none, none)).toThrow("12 bytes");
      expect(() => key.open(none, randomBytes(length), none, randomBytes(20))).toThrow("12 bytes");
    }
  });

  it("throws at whatever else its native part is handed, and goes on", () => {
    const native = createRequire(import.meta.url)("../native/build/Release/aes_gcm.node") as Record<
      string,
      (...given: unknown[]) => unknown
    >;
    const key = native.make!(randomBytes(32));
    const odd = fc.oneof(
      fc.anything(),
      fc.constant(key),
      fc.constant(new Uint16Array(12)),
      fc.constant(new Uint8Array(12)),
      fc.constant(new Uint8Array(structuredClone(new ArrayBuffer(8), { transfer: [new ArrayBuffer(0)] }))),
      fc.constant(new DataView(new ArrayBuffer(16))),
    );
    fc.assert(
      fc.property(
        fc.constantFrom("make", "seal", "open", "release"),
        fc.array(odd, { maxLength: 8 }),
        (name, given) => {
          // A call that happens to be of the right form is as good.
          if (name === "release" && given[0] === key) return;
          try {
            native[name]!(...given);
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError);
          }
        },
      ),
      { numRuns: 5000 },
    );
    expect(() =>
      native.seal!(
        key,
        randomBytes(12),
        new Uint8Array(0),
        new Uint8Array(0),
        new Uint8Array(4),
        new Uint8Array(99),
        0,
      ),
    ).toThrow("another length");
    expect(() =>
      native.seal!(
        key,
        randomBytes(12),
        new Uint8Array(0),
        new Uint8Array(0),
        new Uint8Array(4),
        new Uint8Array(20),
        4_000_000_000,
      ),
    ).toThrow("another length");
    native.release!(key);
    expect(() =>
      native.open!(
        key,
        randomBytes(12),
        new Uint8Array(0),
        new Uint8Array(0),
        new Uint8Array(16),
        new Uint8Array(0),
      ),
    ).toThrow("released");
  });
});
