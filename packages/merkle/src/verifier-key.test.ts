import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { NoteSignature } from "./note.ts";
import { formatNote, parseNote } from "./note.ts";
import { ecdsaKeyId, formatVerifierKey, parseVerifierKey, verifyNote } from "./verifier-key.ts";

const malformed = expect.objectContaining({ name: "DomainError", kind: "invalid-argument" });
const integrity = expect.objectContaining({ name: "DomainError", kind: "integrity" });

// The example of C2SP signed-note, section Verifier keys.
const exampleKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const exampleNote = `This is an example message.

\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`;

function signer(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const key = parseVerifierKey(formatVerifierKey(name, spki));
  const signText = (text: string): NoteSignature => ({
    name,
    keyId: ecdsaKeyId(spki),
    signature: sign("sha256", Buffer.from(text), privateKey),
  });
  return { spki, key, privateKey, signText };
}

const text = "claviger.example/audit\n";
const log = signer("claviger.example/audit");
const stranger = signer("stranger.example");

describe("a verifier key", () => {
  it("has the first four bytes of the SPKI's SHA-256 as its ID", () => {
    const id = createHash("sha256").update(log.spki).digest("hex").slice(0, 8);
    const material = Buffer.concat([Buffer.of(0x02), log.spki]).toString("base64");
    expect(formatVerifierKey("log", log.spki)).toBe(`log+${id}+${material}`);
    expect(log.key).toMatchObject({ name: "claviger.example/audit", algorithm: "ecdsa-p256" });
    expect(log.key.keyId.toString(16).padStart(8, "0")).toBe(id);
  });

  it("keeps a leading zero of its ID, and a plus in its base64", () => {
    let found = { zero: false, plus: false };
    for (let attempt = 0; attempt < 2_000 && !(found.zero && found.plus); attempt++) {
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const spki = publicKey.export({ format: "der", type: "spki" });
      const formatted = formatVerifierKey("log", spki);
      expect(parseVerifierKey(formatted).keyId).toBe(ecdsaKeyId(spki));
      found = {
        zero: found.zero || formatted.startsWith("log+0"),
        plus: found.plus || formatted.split("+").length > 3,
      };
    }
    expect(found).toEqual({ zero: true, plus: true });
  });

  it("is refused on another curve, of another kind, or in a second encoding", () => {
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
    const ed25519 = generateKeyPairSync("ed25519").publicKey;
    const explicit = generateKeyPairSync("ec", { namedCurve: "P-256", paramEncoding: "explicit" }).publicKey;
    for (const key of [p384, ed25519, explicit]) {
      expect(() => formatVerifierKey("log", key.export({ format: "der", type: "spki" }))).toThrow(malformed);
    }
    expect(() => formatVerifierKey("log", Buffer.concat([log.spki, Buffer.of(0)]))).toThrow(malformed);
    expect(() => formatVerifierKey("log", log.spki.subarray(1))).toThrow(malformed);
    expect(() => formatVerifierKey("two words", log.spki)).toThrow(malformed);
    expect(() => formatVerifierKey("n".repeat(5_000), log.spki)).toThrow(malformed);
  });

  it.each([
    ["nothing", ""],
    ["a name alone", "example.com/foo"],
    ["an ID in capitals", exampleKey.replace("530d903a", "530D903A")],
    ["another ID", exampleKey.replace("530d903a", "530d903b")],
    ["another name", exampleKey.replace("foo", "bar")],
    ["an unknown type", "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"],
    ["a short Ed25519 key", "example.com/foo+530d903a+AekyeRrm"],
    ["no key", "example.com/foo+530d903a+AQ=="],
    ["loose base64", `${exampleKey} `],
    ["too much", exampleKey.repeat(100)],
  ])("is refused with %s", (_, formatted) => {
    expect(() => parseVerifierKey(formatted)).toThrow(malformed);
  });
});

describe("verifying a note", () => {
  it("accepts the published Ed25519 example, from text or bytes", () => {
    const key = parseVerifierKey(exampleKey);
    expect(key).toMatchObject({ name: "example.com/foo", keyId: 0x530d903a, algorithm: "ed25519" });
    for (const note of [exampleNote, Buffer.from(exampleNote)]) {
      expect(verifyNote(note, [key])).toEqual({ text: "This is an example message.\n", signedBy: [key] });
    }
    expect(() => verifyNote(exampleNote.replace("This", "That"), [key])).toThrow(integrity);
  });

  it("returns the text and the keys that signed, each once, and ignores strangers", () => {
    const own = log.signText(text);
    const note = formatNote(text, [stranger.signText(text), own, log.signText(text)]);
    expect(verifyNote(note, [log.key])).toEqual({ text, signedBy: [log.key] });
    expect(verifyNote(note, [log.key, stranger.key]).signedBy).toEqual([stranger.key, log.key]);
  });

  it("ignores a stranger's bad signature that shares the name or the ID, but not both", () => {
    const bad = Uint8Array.of(1, 2, 3);
    const sameName = { name: log.key.name, keyId: (log.key.keyId ^ 1) >>> 0, signature: bad };
    const sameId = { name: "other.example", keyId: log.key.keyId, signature: bad };
    const note = formatNote(text, [sameName, sameId, log.signText(text)]);
    expect(verifyNote(note, [log.key]).signedBy).toEqual([log.key]);
    expect(() => verifyNote(formatNote(text, [sameName, sameId]), [log.key])).toThrow(integrity);
  });

  it("rejects the whole note where one known key's signature fails beside a good one", () => {
    const wrong = stranger.signText("another text\n");
    const note = formatNote(text, [log.signText(text), wrong]);
    expect(() => verifyNote(note, [log.key, stranger.key])).toThrow(integrity);
    const twice = formatNote(text, [log.signText(text), log.signText("another\n")]);
    expect(() => verifyNote(twice, [log.key])).toThrow(integrity);
  });

  it("rejects a note that no known key signed", () => {
    const note = formatNote(text, [stranger.signText(text)]);
    expect(() => verifyNote(note, [log.key])).toThrow(integrity);
    expect(() => verifyNote(note, [])).toThrow(integrity);
  });

  it("rejects every changed bit of an ECDSA signature, and one that is r and s side by side", () => {
    const own = log.signText(text);
    for (let bit = 0; bit < own.signature.length * 8; bit++) {
      const signature = Uint8Array.from(own.signature);
      signature[bit >> 3] = signature[bit >> 3]! ^ (1 << (bit & 7));
      expect(() => verifyNote(formatNote(text, [{ ...own, signature }]), [log.key])).toThrow(integrity);
    }
    const raw = sign("sha256", Buffer.from(text), { key: log.privateKey, dsaEncoding: "ieee-p1363" });
    const trailing = Uint8Array.of(...own.signature, 0);
    for (const signature of [raw, trailing]) {
      expect(() => verifyNote(formatNote(text, [{ ...own, signature }]), [log.key])).toThrow(integrity);
    }
  });

  it("rejects Ed25519 signatures of another length as failed, not as our bug", () => {
    const key = parseVerifierKey(exampleKey);
    const [own] = parseNote(exampleNote).signatures;
    const short = { ...own!, signature: own!.signature.subarray(0, 63) };
    expect(() => verifyNote(formatNote("This is an example message.\n", [short]), [key])).toThrow(integrity);
  });

  it("refuses two keys that are one by name and ID, and more keys than its limit", () => {
    const note = formatNote(text, [log.signText(text)]);
    expect(() => verifyNote(note, [log.key, log.key])).toThrow(malformed);
    expect(() => verifyNote(note, new Array(101).fill(log.key))).toThrow(malformed);
  });
});
