import { DomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bitString,
  boolean,
  contextConstructed,
  derNull,
  derTags,
  generalizedTime,
  integer,
  integerFromNumber,
  namedBits,
  octetString,
  oid,
  printableString,
  sequence,
  set,
  time,
  tlv,
  utcTime,
  utf8String,
} from "./der.ts";
import {
  checkDer,
  createDerReader,
  derToNumber,
  derToOid,
  derToTime,
  derToUnsigned,
  readDer,
  readDerChildren,
} from "./der-reader.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
const refused = (text: string) => () => checkDer(bytes(text), "the value");

describe("the encoder", () => {
  test("writes lengths in their shortest form at every border", () => {
    expect(hex(octetString(new Uint8Array(127))).slice(0, 4)).toBe("047f");
    expect(hex(octetString(new Uint8Array(128))).slice(0, 6)).toBe("048180");
    expect(hex(octetString(new Uint8Array(255))).slice(0, 6)).toBe("0481ff");
    expect(hex(octetString(new Uint8Array(256))).slice(0, 8)).toBe("04820100");
    expect(hex(octetString(new Uint8Array(65_536))).slice(0, 10)).toBe("0483010000");
    expect(hex(octetString(new Uint8Array(2 ** 24))).slice(0, 12)).toBe("048401000000");
  });

  test("writes the examples of X.690", () => {
    expect(hex(oid("2.999.3"))).toBe("0603883703");
    expect(hex(oid("1.2.840.113549"))).toBe("06062a864886f70d");
    expect(hex(boolean(true))).toBe("0101ff");
    expect(hex(derNull())).toBe("0500");
    expect(hex(integer(bytes("000080")))).toBe("02020080");
    expect(hex(integer(bytes("0000")))).toBe("020100");
    expect(hex(integer(new Uint8Array(0)))).toBe("020100");
    expect(hex(integerFromNumber(256))).toBe("02020100");
    expect(hex(namedBits([5, 6]))).toBe("03020106");
    expect(hex(namedBits([0, 8]))).toBe("0303078080");
    expect(hex(namedBits([]))).toBe("030100");
    expect(hex(set([boolean(true), derNull(), boolean(false)]))).toBe(
      "310801010001 01ff0500".replace(" ", ""),
    );
  });

  test("refuses object identifiers that have no encoding", () => {
    for (const text of ["", "1", "3.1", "1.40", "1.2.", "1.-2", "1.02", "a.b"]) {
      expect(() => oid(text), text).toThrow(DomainError);
    }
  });

  test("changes from UTCTime to GeneralizedTime with the year 2050", () => {
    expect(Buffer.from(time(new Date("2049-12-31T23:59:59.999Z"))).toString("latin1", 2)).toBe(
      "491231235959Z",
    );
    expect(Buffer.from(time(new Date("2050-01-01T00:00:00Z"))).toString("latin1", 2)).toBe("20500101000000Z");
    expect(Buffer.from(time(new Date("1950-01-01T00:00:00Z"))).toString("latin1", 2)).toBe("500101000000Z");
    expect(() => time(new Date("1949-12-31T23:59:59Z"))).toThrow(/1950/);
    expect(() => utcTime(new Date("2050-01-01T00:00:00Z"))).toThrow(/2049/);
    expect(() => time(new Date(Number.NaN))).toThrow(DomainError);
    expect(() => generalizedTime(new Date(8.64e15))).toThrow(/10000/);
  });

  test("refuses characters that a PrintableString does not have", () => {
    expect(() => printableString("a@b")).toThrow(DomainError);
  });
});

describe("the reader", () => {
  test("refuses what is BER and not DER", () => {
    expect(refused("30800000"), "indefinite length").toThrow(/indefinite/);
    expect(refused("0281010a".replace("0a", "01")), "long form of a short length").toThrow(/shortest/);
    expect(refused("04820001aa"), "padded length").toThrow(/shortest/);
    expect(refused("0485000000000100"), "five octets of length").toThrow(/four octets/);
    expect(refused("020200ff".replace("00ff", "007f")), "padded integer").toThrow(/shortest/);
    expect(refused("0202ff80"), "padded negative integer").toThrow(/shortest/);
    expect(refused("0200"), "empty integer").toThrow(/empty/);
    expect(refused("010101"), "boolean 01").toThrow(/BOOLEAN/);
    expect(refused("2403040101"), "constructed string").toThrow(/constructed/);
    expect(refused("1000"), "primitive sequence").toThrow(/constructed/);
    expect(refused("1f8100"), "high tag number").toThrow(/tag number/);
    expect(refused("0000"), "end of contents").toThrow(/end-of-contents/);
    expect(refused("03020101"), "unused bits set").toThrow(/unused/);
    expect(refused("030108"), "eight unused bits").toThrow(/unused/);
    expect(refused("06028001"), "padded arc").toThrow(/padded/);
    expect(refused("060181"), "unfinished arc").toThrow(/malformed/);
    expect(refused("050100"), "NULL with content").toThrow(/NULL/);
  });

  test("refuses bytes after the value and values past the end", () => {
    expect(refused("050000")).toThrow(/left over/);
    expect(refused("30030201")).toThrow(/past the end/);
    expect(refused("04")).toThrow(/middle of a length/);
    expect(refused("0482ff")).toThrow(/middle of a length/);
    expect(refused("")).toThrow(/missing/);
  });

  test("refuses nesting that would exhaust the stack", () => {
    let nested: Uint8Array = derNull();
    for (let level = 0; level < 2000; level++) nested = sequence([nested]);
    expect(() => checkDer(nested, "the value")).toThrow(/nested/);
  });

  test("gives slices of what it was given, not copies", () => {
    const encoded = sequence([octetString(bytes("0102")), boolean(true)]);
    const [first] = readDerChildren(readDer(encoded, "the value"), "the value");
    expect(first!.encoded.buffer).toBe(encoded.buffer);
    expect(hex(first!.encoded)).toBe("04020102");
  });

  test("reads only times that exist, in the form of RFC 5280", () => {
    const read = (tag: number, text: string) => derToTime(readDer(tlv(tag, Buffer.from(text)), "a"), "a");
    expect(read(derTags.utcTime, "500101000000Z").getUTCFullYear()).toBe(1950);
    expect(read(derTags.utcTime, "491231235959Z").getUTCFullYear()).toBe(2049);
    for (const text of [
      "4912312359Z",
      "491231235959+0000",
      "490231000000Z",
      "491231240000Z",
      "49123123595 Z",
    ]) {
      expect(() => read(derTags.utcTime, text), text).toThrow(DomainError);
    }
    expect(() => read(derTags.generalizedTime, "20500101000000.5Z")).toThrow(DomainError);
  });

  test("reads back every number, identifier, text and time that the encoder writes", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 47n }),
        fc.tuple(fc.integer({ min: 0, max: 39 }), fc.array(fc.nat(), { maxLength: 6 })),
        fc.date({ min: new Date("1950-01-01"), max: new Date("9999-12-31"), noInvalidDate: true }),
        fc.uint8Array({ maxLength: 300 }),
        (number, [second, arcs], date, raw) => {
          const dotted = [1, second, ...arcs].join(".");
          const cut = new Date(Math.floor(date.getTime() / 1000) * 1000);
          const encoded = sequence([
            integerFromNumber(number),
            oid(dotted),
            time(date),
            contextConstructed(0, [octetString(raw), bitString(raw), utf8String("ä")]),
          ]);
          checkDer(encoded, "the value");
          const reader = createDerReader(readDer(encoded, "a").content, "a");
          expect(derToNumber(reader.next(derTags.integer, "n"), "a")).toBe(Number(number));
          expect(derToOid(reader.next(derTags.oid, "o"), "a")).toBe(dotted);
          expect(derToTime(reader.any("t"), "a")).toEqual(cut);
        },
      ),
    );
  });

  test("never throws anything but a DomainError and never reads out of bounds, whatever the bytes", () => {
    const noise = fc.uint8Array({ maxLength: 64 });
    const almost = fc
      .tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(80), fc.nat(255))
      .map(([raw, position, octet]) => {
        const encoded = sequence([integer(raw), sequence([octetString(raw), oid("1.2.3")]), bitString(raw)]);
        encoded[position % encoded.length] = octet;
        return encoded;
      });
    fc.assert(
      fc.property(fc.oneof(noise, almost), (input) => {
        // The bytes lie in the middle of a larger buffer: a view that reached out would show the fence.
        const fenced = new Uint8Array(input.length + 32).fill(0xee);
        fenced.set(input, 16);
        const view = fenced.subarray(16, 16 + input.length);
        try {
          const value = readDer(view, "the value");
          expect(value.encoded.byteOffset).toBe(16);
          expect(value.content.byteOffset + value.content.length).toBe(16 + input.length);
          checkDer(view, "the value");
          derToUnsigned(value, "the value");
        } catch (error) {
          expect(error).toBeInstanceOf(DomainError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
