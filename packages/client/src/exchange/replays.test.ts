import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createReplayCache, openReplayDirectory, type ReplayCache } from "./replays.ts";

const directory = mkdtempSync(join(tmpdir(), "claviger-replays-"));
afterAll(() => rmSync(directory, { recursive: true }));

let at = Date.parse("2026-01-31T12:00:00Z");
const now = (): Date => new Date(at);
const later = (seconds: number): Date => new Date(at + seconds * 1000);
const caches: [string, () => ReplayCache][] = [
  ["in memory", () => createReplayCache({ entriesMax: 3, now })],
  ["in a directory", () => openReplayDirectory(mkdtempSync(join(directory, "c-")), { entriesMax: 3, now })],
];

test.each(caches)(
  "%s, a ticket is taken once until it ends, and no more are remembered than may be",
  (_, make) => {
    const cache = make();
    expect(cache.take("AAAA", later(60))).toBe(true);
    expect(cache.take("AAAA", later(60))).toBe(false);
    expect(cache.take("BBBB", later(600))).toBe(true);
    expect(cache.take("CCCC", later(600))).toBe(true);
    expect(() => cache.take("DDDD", later(600))).toThrow("have not ended");
    at += 120_000;
    // The first has ended, so that there is room again.
    expect(cache.take("DDDD", later(600))).toBe(true);
  },
);

test("a directory is remembered by whoever opens it next, and holds nothing of the tickets but their nonces", () => {
  const place = mkdtempSync(join(directory, "shared-"));
  const until = later(600);
  expect(openReplayDirectory(place, { now }).take("AAAA", until)).toBe(true);
  expect(openReplayDirectory(place, { now }).take("AAAA", until)).toBe(false);
  expect(readdirSync(place)).toEqual([`${until.getTime()}-000000`]);
});
