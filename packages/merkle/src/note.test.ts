import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatNote, noteSignaturesMax, noteTextBytesMax, parseNote } from "./note.ts";

const malformed = expect.objectContaining({ name: "DomainError", kind: "invalid-argument" });
const signature = { name: "example.com/log", keyId: 0xdeadbeef, signature: Uint8Array.of(1, 2, 3) };
const good = formatNote("one\n\ntwo\n", [signature]);
const line = "\u2014 example.com/log 3q2+7wECAw==\n";

/** The note format's own rule, said in another way than the package says it. */
function isPlain(text: string): boolean {
  return text.isWellFormed() && Buffer.from(text).every((byte) => byte === 0x0a || byte >= 0x20);
}

describe("a signed note", () => {
  it("is the text, an empty line and the signature lines", () => {
    expect(good).toBe(`one\n\ntwo\n\n${line}`);
  });

  it("keeps empty lines in its text: the last one separates", () => {
    expect(parseNote(good).text).toBe("one\n\ntwo\n");
    expect(parseNote(`\n\n${line}`).text).toBe("\n");
    expect(parseNote(`text\n\n\n${line}`).text).toBe("text\n\n");
    expect(parseNote(`text\n\n${line}\n${line}`)).toMatchObject({ text: `text\n\n${line}` });
  });

  it("is read as it was written, from a string or its bytes", () => {
    const lines = fc
      .array(fc.string({ unit: "grapheme" }), { maxLength: 6 })
      .map((parts) => `${parts.join("\n")}\n`)
      .filter(isPlain);
    const signatures = fc.array(
      fc.record({
        name: fc
          .string({ unit: "grapheme", minLength: 1, maxLength: 40 })
          .filter((name) => isPlain(name) && !/[\p{White_Space}+]/u.test(name)),
        keyId: fc.nat({ max: 0xffff_ffff }),
        signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
      }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(lines, signatures, (text, signed) => {
        const note = formatNote(text, signed);
        for (const parsed of [parseNote(note), parseNote(Buffer.from(note))]) {
          expect(parsed.text).toBe(text);
          expect(
            parsed.signatures.map((each) => ({ ...each, signature: Uint8Array.from(each.signature) })),
          ).toEqual(signed.map((each) => ({ ...each, signature: Uint8Array.from(each.signature) })));
        }
      }),
    );
  });

  it("with any byte changed is either refused or read as something else", () => {
    const bytes = Buffer.from(good);
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = Buffer.from(bytes);
        changed[at] = changed[at]! ^ difference;
        let parsed: unknown;
        try {
          parsed = parseNote(changed);
        } catch (error) {
          expect(error).toEqual(malformed);
          return;
        }
        expect(parsed).not.toEqual(parseNote(good));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["nothing", ""],
    ["no separator", `text\n${line}`],
    ["no text before the separator", `\n${line}`],
    ["no signature", "text\n\n"],
    ["an empty line after the signatures", `text\n\n${line}\n`],
    ["a last line without newline", `text\n\n${line.trimEnd()}`],
    ["a carriage return", `text\r\n\n${line}`],
    ["a tab", `te\txt\n\n${line}`],
    ["a NUL in a signature line", `text\n\n\u2014 na\0me AAAAAAE=\n`],
    ["a lone surrogate", `te\ud800xt\n\n${line}`],
    ["a hyphen for the em dash", "text\n\n- example.com/log 3q2+7wECAw==\n"],
    ["a line that is no signature among them", `text\n\n${line}hello\n${line}`],
    ["an empty name", "text\n\n\u2014  3q2+7wECAw==\n"],
    ["a plus in the name", "text\n\n\u2014 a+b 3q2+7wECAw==\n"],
    ["a no-break space in the name", "text\n\n\u2014 a\u00a0b 3q2+7wECAw==\n"],
    ["two spaces", "text\n\n\u2014 name  3q2+7wECAw==\n"],
    ["a space at the end", "text\n\n\u2014 name 3q2+7wECAw== \n"],
    ["no base64", "text\n\n\u2014 name\n"],
    ["base64 without padding", "text\n\n\u2014 name 3q2+7wECAw\n"],
    ["base64url", "text\n\n\u2014 name 3q2-7wECAw==\n"],
    ["base64 with stray bits", "text\n\n\u2014 name 3q2+7wECAx==\n"],
    ["a key ID alone", "text\n\n\u2014 name 3q2+7w==\n"],
    ["too many signatures", `text\n\n${line.repeat(noteSignaturesMax + 1)}`],
    ["too long a text", `${"a".repeat(noteTextBytesMax)}\n\n${line}`],
    ["too long a text in bytes, not in characters", `${"é".repeat(noteTextBytesMax / 2)}\n\n${line}`],
    ["too long a signature line", `text\n\n\u2014 name ${"AAAA".repeat(5_000)}\n`],
    ["far too long", "\n".repeat(5_000_000)],
  ])("is refused with %s", (_, note) => {
    expect(() => parseNote(note)).toThrow(malformed);
  });

  it("is refused when its bytes are not UTF-8", () => {
    const latin = Buffer.concat([Buffer.of(0xe9), Buffer.from(`\n\n${line}`)]);
    const overlong = Buffer.concat([Buffer.of(0xc0, 0xaf), Buffer.from(`\n\n${line}`)]);
    expect(() => parseNote(latin)).toThrow(malformed);
    expect(() => parseNote(overlong)).toThrow(malformed);
  });

  it("keeps a byte order mark, which was signed with the rest", () => {
    expect(parseNote(Buffer.from(`\ufefftext\n\n${line}`)).text).toBe("\ufefftext\n");
  });

  it("is accepted at its limits", () => {
    const text = `${"a".repeat(noteTextBytesMax - 1)}\n`;
    const note = formatNote(text, new Array(noteSignaturesMax).fill(signature));
    expect(parseNote(Buffer.from(note)).signatures).toHaveLength(noteSignaturesMax);
  });

  it("is not written where it could not be read", () => {
    const refused = [
      () => formatNote("no newline", [signature]),
      () => formatNote("", [signature]),
      () => formatNote("tab\t\n", [signature]),
      () => formatNote("text\n", []),
      () => formatNote("text\n", new Array(noteSignaturesMax + 1).fill(signature)),
      () => formatNote("text\n", [{ ...signature, name: "" }]),
      () => formatNote("text\n", [{ ...signature, name: "two words" }]),
      () => formatNote("text\n", [{ ...signature, name: "two\nlines" }]),
      () => formatNote("text\n", [{ ...signature, keyId: 2 ** 32 }]),
      () => formatNote("text\n", [{ ...signature, keyId: -1 }]),
      () => formatNote("text\n", [{ ...signature, signature: new Uint8Array(0) }]),
      () => formatNote("text\n", [{ ...signature, signature: new Uint8Array(20_000) }]),
    ];
    for (const call of refused) {
      expect(call).toThrow(malformed);
    }
  });
});
