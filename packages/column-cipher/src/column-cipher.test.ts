import { expect, test } from "vitest";
import { createColumnCipher } from "./index.ts";
import { openXaes, sealXaes } from "./xaes.ts";

const columns = createColumnCipher(Buffer.alloc(32, 7));
const place = { column: "keys.details", row: "11111111-2222-4333-8444-555555555555" };

test.each([
  ["01", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"],
  ["03", "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"],
])("the vector of C2SP's XAES-256-GCM with key bytes %s", (byte, bound, sealed) => {
  const key = Buffer.alloc(32, Number.parseInt(byte, 16));
  const nonce = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWX");
  const plaintext = Buffer.from("XAES-256-GCM");
  expect(sealXaes(key, nonce, plaintext, Buffer.from(bound)).toString("hex")).toBe(sealed);
  expect(openXaes(key, nonce, Buffer.from(sealed, "hex"), Buffer.from(bound))).toEqual(plaintext);
});

test("what is concealed is another ciphertext each time, and opens in its own place alone", () => {
  const one = columns.conceal(place, "a secret owner");
  expect(one.equals(columns.conceal(place, "a secret owner"))).toBe(false);
  expect(columns.reveal(place, one)).toBe("a secret owner");
  for (const other of [
    { ...place, row: "another row" },
    { ...place, column: "holds.details" },
    { column: place.column, row: "" },
  ]) {
    expect(() => columns.reveal(other, one)).toThrow("changed outside Claviger");
  }
  expect(() => createColumnCipher(Buffer.alloc(32, 8)).reveal(place, one)).toThrow("changed outside");
});

test("a ciphertext of which any byte was changed, or cut off, does not open", () => {
  const whole = columns.conceal(place, "x");
  for (const at of whole.keys()) {
    const changed = Buffer.from(whole);
    changed[at]! ^= 1;
    expect(() => columns.reveal(place, changed)).toThrow("changed outside");
    expect(() => columns.reveal(place, whole.subarray(0, at))).toThrow("changed outside");
  }
});

test("an exact value is the same ciphertext in the same column, and another one in another", () => {
  const one = columns.concealExact("key_callers.caller", "spiffe://a/user/alice");
  expect(columns.concealExact("key_callers.caller", "spiffe://a/user/alice")).toEqual(one);
  expect(columns.concealExact("key_callers.caller", "spiffe://a/user/bob").equals(one)).toBe(false);
  expect(columns.concealExact("requests.caller", "spiffe://a/user/alice").equals(one)).toBe(false);
  expect(columns.revealExact("key_callers.caller", one)).toBe("spiffe://a/user/alice");
  expect(() => columns.revealExact("requests.caller", one)).toThrow("changed outside");
});

test("digests are of a column and a value, and of nothing that only looks like them", () => {
  expect(columns.digest("label", "a=b")).toEqual(columns.digest("label", "a=b"));
  expect(columns.digest("label", "a=b").equals(columns.digest("labela", "=b"))).toBe(false);
  expect(columns.digest("owner", "a=b").equals(columns.digest("label", "a=b"))).toBe(false);
});
