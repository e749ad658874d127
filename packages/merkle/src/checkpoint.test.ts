import { generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Checkpoint } from "./checkpoint.ts";
import {
  extensionLinesMax,
  formatCheckpointText,
  openCheckpoint,
  parseCheckpointText,
} from "./checkpoint.ts";
import { emptyRoot } from "./hashing.ts";
import { formatNote, parseNote } from "./note.ts";
import { ecdsaKeyId, formatVerifierKey, parseVerifierKey } from "./verifier-key.ts";

const malformed = expect.objectContaining({ name: "DomainError", kind: "invalid-argument" });
const integrity = expect.objectContaining({ name: "DomainError", kind: "integrity" });

// The example of C2SP tlog-checkpoint. Its key is not published with it: the text alone is tested.
const example = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
`;
const rootLine = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
const root = Buffer.from(rootLine, "base64");
const origin = "claviger.example/audit";

describe("a checkpoint's text", () => {
  it("is the published example's", () => {
    const { text } = parseNote(example);
    const checkpoint = parseCheckpointText(text);
    expect(checkpoint).toEqual({
      origin: "example.com/behind-the-sofa",
      size: 20_852_163,
      root,
      extensions: [],
    });
    expect(formatCheckpointText(checkpoint)).toBe(text);
  });

  it("is read as it was written", () => {
    const lineOf = fc.string({ minLength: 1, unit: "grapheme" });
    const oneLine = lineOf.filter((line) => !/\p{Cc}/u.test(line) && line.isWellFormed());
    const checkpoints = fc.record({
      origin: oneLine,
      size: fc.maxSafeNat().map((size) => Math.max(size, 1)),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      extensions: fc.array(oneLine, { maxLength: extensionLinesMax }),
    });
    fc.assert(
      fc.property(checkpoints, (checkpoint) => {
        const parsed = parseCheckpointText(formatCheckpointText(checkpoint));
        expect({ ...parsed, root: Uint8Array.from(parsed.root) }).toEqual({
          ...checkpoint,
          root: Uint8Array.from(checkpoint.root),
        });
      }),
    );
  });

  it("of an empty tree has the empty root and no other", () => {
    const checkpoint = { origin, size: 0, root: emptyRoot() };
    expect(formatCheckpointText(checkpoint).split("\n")[1]).toBe("0");
    expect(() => formatCheckpointText({ ...checkpoint, root })).toThrow(malformed);
  });

  it.each([
    ["nothing", ""],
    ["an empty origin", `\n5\n${rootLine}\n`],
    ["no root", "log\n5\n"],
    ["no final newline", `log\n5\n${rootLine}`],
    ["a leading zero", `log\n05\n${rootLine}\n`],
    ["a sign", `log\n+5\n${rootLine}\n`],
    ["an exponent", `log\n5e3\n${rootLine}\n`],
    ["hex", `log\n0x5\n${rootLine}\n`],
    ["no size", `log\n\n${rootLine}\n`],
    ["a size of 2^53", `log\n9007199254740992\n${rootLine}\n`],
    ["a size past 64 bits", `log\n18446744073709551616\n${rootLine}\n`],
    ["a root of 31 bytes", `log\n5\n${Buffer.alloc(31).toString("base64")}\n`],
    ["a root without padding", `log\n5\n${rootLine.slice(0, -1)}\n`],
    ["a root with stray bits", `log\n5\n${rootLine.replace("2I=", "2J=")}\n`],
    ["a space after the root", `log\n5\n${rootLine} \n`],
    ["an empty extension line", `log\n5\n${rootLine}\n\n`],
    ["an empty line between extensions", `log\n5\n${rootLine}\na\n\nb\n`],
    ["too many extension lines", `log\n5\n${rootLine}\n${"x\n".repeat(extensionLinesMax + 1)}`],
    ["a carriage return", `log\r\n5\n${rootLine}\n`],
  ])("is refused with %s", (_, text) => {
    expect(() => parseCheckpointText(text)).toThrow(malformed);
  });

  it("is not written where it could not be read", () => {
    const bad: Partial<Checkpoint>[] = [
      { origin: "" },
      { origin: "two\nlines" },
      { size: -1 },
      { size: 1.5 },
      { size: 2 ** 53 },
      { root: new Uint8Array(31) },
      { extensions: [""] },
      { extensions: ["two\nlines"] },
      { extensions: new Array(extensionLinesMax + 1).fill("x") },
    ];
    for (const change of bad) {
      expect(() => formatCheckpointText({ origin, size: 5, root, ...change })).toThrow(malformed);
    }
  });
});

describe("opening a checkpoint", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const key = parseVerifierKey(formatVerifierKey(origin, spki));
  const signed = (text: string) =>
    formatNote(text, [
      { name: origin, keyId: ecdsaKeyId(spki), signature: sign("sha256", Buffer.from(text), privateKey) },
    ]);

  it("gives the checkpoint, its text and who signed", () => {
    const text = formatCheckpointText({ origin, size: 7, root, extensions: ["kept"] });
    const opened = openCheckpoint(signed(text), [key], origin);
    expect(opened).toEqual({
      checkpoint: { origin, size: 7, root, extensions: ["kept"] },
      text,
      signedBy: [key],
    });
  });

  it("refuses another log's, a changed one, an unsigned one, and a signed text that is none", () => {
    const note = signed(formatCheckpointText({ origin, size: 7, root }));
    expect(() => openCheckpoint(note, [key], "other.example/audit")).toThrow(integrity);
    expect(() => openCheckpoint(note.replace("\n7\n", "\n8\n"), [key], origin)).toThrow(integrity);
    expect(() => openCheckpoint(note, [], origin)).toThrow(integrity);
    expect(() => openCheckpoint(signed("hello\n"), [key], origin)).toThrow(malformed);
  });
});
