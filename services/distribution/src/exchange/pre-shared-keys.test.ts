import { expect, test } from "vitest";
import type { PreSharedKeyGenerationRow } from "../store/pre-shared-keys.ts";
import { acknowledgedBy, deliverable, sideOf, viewGenerations } from "./pre-shared-keys.ts";

const at = (seconds: number): Date => new Date(Date.parse("2026-01-31T12:00:00Z") + seconds * 1000);
const key = { name: "vpn", partyA: "a", partyB: "b", overlapSeconds: 60, createdBy: "c", createdAt: at(0) };

function generation(number: number): PreSharedKeyGenerationRow {
  return {
    name: "vpn",
    generation: number,
    createdAt: at(0),
    signerVersion: 1,
    ticketA: `a${number}`,
    ticketB: `b${number}`,
    acknowledgedAAt: null,
    acknowledgedBAt: null,
    revision: 1,
  };
}

const states = (rows: PreSharedKeyGenerationRow[], now: Date): string[] =>
  viewGenerations(key, rows, now).map(({ state }) => state);

test("a generation is current once both have it, and retires after the overlap that begins with its successor", () => {
  const half = acknowledgedBy(generation(1), "A", at(10));
  expect(states([half], at(11))).toEqual(["waiting"]);
  const both = acknowledgedBy(half, "B", at(20));
  expect(states([both, generation(2)], at(1000))).toEqual(["current", "waiting"]);
  const next = acknowledgedBy(acknowledgedBy(generation(2), "B", at(100)), "A", at(110));
  expect(states([both, next], at(169))).toEqual(["retiring", "current"]);
  expect(states([both, next], at(170))).toEqual(["retired", "current"]);
  // A third does not prolong the first, nor does a generation that was skipped hold it back.
  expect(states([both, generation(2), next], at(170))).toEqual(["retired", "retired", "current"]);
});

test("the same ticket comes until it is acknowledged, to each party its own, and never again", () => {
  const first = generation(1);
  const views = (row: PreSharedKeyGenerationRow) => viewGenerations(key, [row, generation(2)], at(1));
  expect(deliverable(views(first), "A", 0).ticket).toBe("a1");
  expect(deliverable(views(first), "B", 2).ticket).toBe("b2");
  const had = acknowledgedBy(first, "A", at(5));
  expect(had).toMatchObject({ ticketA: null, ticketB: "b1" });
  expect(acknowledgedBy(had, "A", at(9))).toEqual(had);
  expect(deliverable(views(had), "A", 0).ticket).toBe("a2");
  expect(() => deliverable(views(had), "A", 1)).toThrow("never delivered again");
  expect(() => deliverable(views(had), "A", 3)).toThrow();
});

test("nobody but the two parties has a side", () => {
  expect([sideOf(key, "a"), sideOf(key, "b")]).toEqual(["A", "B"]);
  expect(() => sideOf(key, "c")).toThrow("no pre-shared key of this name for this identity");
  expect(() => sideOf(undefined, "a")).toThrow("no pre-shared key of this name for this identity");
});
