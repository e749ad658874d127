import { parseVerifierKey } from "@claviger/merkle";
import { describe, expect, it } from "vitest";
import { formatProof, verifyProofFile } from "./proof-file.ts";
import { createSmallLog } from "./test-support/small-log.ts";

const log = createSmallLog(21);
const key = parseVerifierKey(log.verifierKey);
const integrity = expect.objectContaining({ kind: "integrity" });

describe("a proof file", () => {
  it("is verified for every record, with and without who did it", () => {
    for (let sequence = 0; sequence < 21; sequence++) {
      for (const erased of [false, true]) {
        const bytes = Buffer.from(formatProof(log.proof(sequence, { erased })));
        expect(verifyProofFile(bytes, key)).toMatchObject({ size: 21, proof: { sequence } });
      }
    }
  });

  it.each([{ erased: false }, { erased: true }])(
    "is refused with any one of its bytes changed (%o)",
    (options) => {
      const whole = Buffer.from(formatProof(log.proof(13, options)));
      for (let at = 0; at < whole.length; at++) {
        // Every bit of every byte would take minutes; these turn letters, digits and white space into one another.
        for (const mask of [0x01, 0x20, 0x80, 0x2a]) {
          const changed = Buffer.from(whole);
          changed[at] = changed[at]! ^ mask;
          expect(() => verifyProofFile(changed, key), `byte ${at} ^ ${mask}`).toThrow(integrity);
        }
      }
    },
  );

  it("is refused when it is cut off, empty, extended or rewritten with the same meaning", () => {
    const text = formatProof(log.proof(3));
    const parsed = JSON.parse(text) as object;
    const others = [
      "",
      "{}",
      "null",
      text.slice(0, -1),
      text.slice(0, 300),
      `${text}\n`,
      `\ufeff${text}`,
      JSON.stringify(parsed),
      text.replaceAll("\n", "\r\n"),
      text.replace('"sequence": 3,', '"sequence": 3,\n  "sequence": 3,'),
      JSON.stringify({ ...parsed, extra: 1 }, null, 2),
    ];
    for (const other of others) {
      expect(() => verifyProofFile(Buffer.from(other), key), other.slice(0, 40)).toThrow(integrity);
    }
  });

  it("is refused as another record's, or by another log's key", () => {
    const moved = formatProof({ ...log.proof(3), sequence: 4 });
    expect(() => verifyProofFile(Buffer.from(moved), key)).toThrow(integrity);
    const stranger = parseVerifierKey(createSmallLog(21).verifierKey);
    expect(() => verifyProofFile(Buffer.from(formatProof(log.proof(3))), stranger)).toThrow(integrity);
  });
});
