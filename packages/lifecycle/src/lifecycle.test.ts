import { expect, test } from "vitest";
import { keyOperations, keyStates, mayMove, movesToDestroyed, stateTable, whyRefused } from "./index.ts";

const now = new Date("2026-06-01T00:00:00Z");

test("destroyed is final, and every state leads to it by allowed moves", () => {
  expect(stateTable.destroyed.movesTo).toEqual([]);
  for (const state of keyStates) {
    let at = state;
    for (const next of movesToDestroyed(state)) {
      expect(mayMove(at, next)).toBe(true);
      at = next;
    }
    expect(at).toBe("destroyed");
  }
});

test("nothing leads back from compromised or deactivated to active", () => {
  expect(mayMove("compromised", "active")).toBe(false);
  expect(mayMove("deactivated", "active")).toBe(false);
  expect(mayMove("suspended", "active")).toBe(true);
});

test("only an active key applies protection", () => {
  for (const state of keyStates.filter((state) => state !== "active")) {
    for (const operation of ["encrypt", "sign", "new-version"] as const) {
      expect(stateTable[state].permits).not.toContain(operation);
    }
  }
});

test("pending destruction refuses every operation and names the day", () => {
  const destroyAt = new Date("2026-12-24T10:00:00Z");
  for (const operation of keyOperations) {
    const why = whyRefused(operation, { keyState: "active", versionState: "active", destroyAt }, now);
    expect(why).toContain("2026-12-24");
  }
});

test("both the key and its version must permit", () => {
  const at = { destroyAt: undefined };
  expect(whyRefused("encrypt", { keyState: "active", versionState: "active", ...at }, now)).toBeUndefined();
  expect(whyRefused("encrypt", { keyState: "active", versionState: "deactivated", ...at }, now)).toContain(
    "version",
  );
  expect(
    whyRefused("decrypt", { keyState: "active", versionState: "deactivated", ...at }, now),
  ).toBeUndefined();
  expect(whyRefused("decrypt", { keyState: "suspended", versionState: "active", ...at }, now)).toContain(
    "suspended",
  );
});

test("a destroyed key names the day of its end", () => {
  const destroyAt = new Date("2026-12-24T10:00:00Z");
  const why = whyRefused("decrypt", { keyState: "destroyed", versionState: "destroyed", destroyAt }, now);
  expect(why).toContain("destroyed on 2026-12-24");
});
