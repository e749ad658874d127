import { generateKeyPairSync, sign, verify } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import fc from "fast-check";
import { expect, test } from "vitest";
import { integerFromNumber, sequence, tlv } from "./der.ts";
import { ecdsaDerToRaw, ecdsaRawToDer } from "./ecdsa-signature.ts";

const isNonZero = (half: Uint8Array) => half.some((octet) => octet !== 0);
const half = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).filter(isNonZero);

test("r‖s survives the way into DER and back, for each curve", () => {
  const sized = fc.constantFrom(32, 48, 66).chain((length) => fc.tuple(half(length), half(length)));
  fc.assert(
    fc.property(sized, ([r, s]) => {
      const raw = Uint8Array.from([...r, ...s]);
      expect(ecdsaDerToRaw(ecdsaRawToDer(raw), r.length)).toEqual(raw);
    }),
  );
});

test("small numbers lose their leading zeros in DER and get them back", () => {
  const raw = new Uint8Array(64);
  raw[31] = 1;
  raw[63] = 0x80;
  expect(Buffer.from(ecdsaRawToDer(raw)).toString("hex")).toBe("300702010102020080");
  expect(ecdsaDerToRaw(ecdsaRawToDer(raw))).toEqual(raw);
});

test("a signature as an HSM gives it verifies in its DER form", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const data = Buffer.from("to be signed");
  const raw = sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" });
  expect(verify("sha256", data, publicKey, ecdsaRawToDer(raw))).toBe(true);
});

test("what no signer makes is refused", () => {
  const one = integerFromNumber(1);
  const cases: Record<string, Uint8Array> = {
    "zero r": sequence([integerFromNumber(0), one]),
    "negative s": sequence([one, tlv(0x02, Uint8Array.of(0xff))]),
    "padded r": sequence([tlv(0x02, Uint8Array.of(0, 1)), one]),
    "one number": sequence([one]),
    "three numbers": sequence([one, one, one]),
    "too long for the curve": sequence([tlv(0x02, new Uint8Array(33).fill(1)), one]),
    "bytes after it": Uint8Array.from([...sequence([one, one]), 0]),
  };
  for (const [name, der] of Object.entries(cases))
    expect(() => ecdsaDerToRaw(der), name).toThrow(DomainError);
  for (const length of [0, 63, 134])
    expect(() => ecdsaRawToDer(new Uint8Array(length).fill(1))).toThrow(DomainError);
  expect(() => ecdsaRawToDer(new Uint8Array(64))).toThrow(/zero/);
});
