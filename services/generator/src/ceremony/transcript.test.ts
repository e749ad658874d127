import { createHmac } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  acceptToken,
  bindTranscript,
  readTranscript,
  requireGenuine,
  rightToken,
  type UnboundTranscript,
  writeTranscript,
} from "./transcript.ts";

const directory = mkdtempSync(join(tmpdir(), "claviger-transcript-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const transcript: UnboundTranscript = {
  version: 1,
  heldAt: "2026-01-01T00:00:00.000Z",
  token: { label: "claviger", serial: "0001", model: "an HSM" },
  recoveryKey: "k",
  custody: { threshold: 2, shares: 3 },
  shareDigests: [],
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

const macOf = (key: string) => (data: Uint8Array) => createHmac("sha256", key).update(data).digest();

test("a transcript is bound to its token: any change is found out, and another token's is refused", async () => {
  const bound = await bindTranscript(acceptToken(transcript, "0002", new Date(0)), macOf("key"));
  await requireGenuine(bound, macOf("key"));
  await expect(requireGenuine(bound, macOf("other"))).rejects.toThrow("was changed");
  for (const changed of [
    { ...bound, heldAt: "2026-01-02T00:00:00.000Z" },
    { ...bound, acceptedTokens: [] },
    { ...bound, acceptedTokens: [{ ...bound.acceptedTokens![0]!, serial: "0003" }] },
    { ...bound, recoveryWraps: { "binding-mac": "AAAA" } },
    { ...bound, custody: { threshold: 2, shares: 2 } },
    { ...bound, mac: "" },
    { ...transcript, mac: bound.mac },
  ]) {
    await expect(requireGenuine(changed, macOf("key"))).rejects.toMatchObject({ kind: "integrity" });
  }
});

test("a transcript is written whole, and one that cannot be read is no absent one", async () => {
  expect(readTranscript(directory)).toBeUndefined();
  const bound = await bindTranscript(transcript, macOf("key"));
  writeTranscript(directory, bound);
  expect(readTranscript(directory)).toEqual(bound);
  expect(readdirSync(directory)).toEqual(["ceremony.json"]);
  writeFileSync(join(directory, "ceremony.json"), "{");
  expect(() => readTranscript(directory)).toThrow("ceremony.json, cannot be read");
});
