import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  acceptToken,
  type CeremonyTranscript,
  readTranscript,
  rightToken,
  writeTranscript,
} from "./transcript.ts";

const directory = mkdtempSync(join(tmpdir(), "claviger-transcript-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const transcript: CeremonyTranscript = {
  version: 1,
  heldAt: "2026-01-01T00:00:00.000Z",
  token: { label: "claviger", serial: "0001", model: "an HSM" },
  recoveryKey: "k",
  custody: { threshold: 2, shares: 3 },
  recoveryWraps: {},
};

test("the right token is the ceremony's, until another is accepted; the history stays", () => {
  expect(rightToken(transcript)).toBe("0001");
  const once = acceptToken(transcript, "0002", new Date(0));
  expect(rightToken(once)).toBe("0002");
  const twice = acceptToken(once, "0003", new Date(1));
  expect(twice.acceptedTokens?.map(({ insteadOf, serial }) => [insteadOf, serial])).toEqual([
    ["0001", "0002"],
    ["0002", "0003"],
  ]);
  expect(acceptToken(twice, "0003", new Date(2))).toEqual(twice);
});

test("a transcript is written whole, and one that cannot be read is no absent one", () => {
  expect(readTranscript(directory)).toBeUndefined();
  writeTranscript(directory, transcript);
  expect(readTranscript(directory)).toEqual(transcript);
  expect(readdirSync(directory)).toEqual(["ceremony.json"]);
  writeFileSync(join(directory, "ceremony.json"), "{");
  expect(() => readTranscript(directory)).toThrow("ceremony.json, cannot be read");
});
