import { expect, test, vi } from "vitest";
import { Rounds } from "./rounds.ts";

test("a round works until nothing is left, the next comes after it, and none after the end", async () => {
  vi.useFakeTimers();
  let left = 3;
  let calls = 0;
  const rounds = new Rounds({
    everyMilliseconds: 10,
    async work() {
      calls += 1;
      left -= 1;
      return left > 0;
    },
    waiting: "work waits",
    onTrouble: () => undefined,
  });
  await vi.advanceTimersByTimeAsync(10);
  expect(calls).toBe(3);
  await vi.advanceTimersByTimeAsync(10);
  expect(calls).toBe(4);
  await rounds[Symbol.asyncDispose]();
  await vi.advanceTimersByTimeAsync(1000);
  expect(calls).toBe(4);
  vi.useRealTimers();
});

test("a round that fails says what waits, and the next one tries again", async () => {
  vi.useFakeTimers();
  const trouble: string[] = [];
  let calls = 0;
  await using _rounds = new Rounds({
    everyMilliseconds: 10,
    async work() {
      calls += 1;
      if (calls === 1) throw new Error("the database is away");
      return false;
    },
    waiting: "work waits",
    onTrouble: (what) => trouble.push(what),
  });
  await vi.advanceTimersByTimeAsync(20);
  expect(trouble).toEqual(["work waits: the database is away"]);
  expect(calls).toBe(2);
  vi.useRealTimers();
});

test("a poke begins a round at once, or has one follow the one that is running", async () => {
  vi.useFakeTimers();
  let calls = 0;
  let finish = (): void => undefined;
  await using rounds = new Rounds({
    everyMilliseconds: 1000,
    async work() {
      calls += 1;
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return false;
    },
    waiting: "work waits",
    onTrouble: () => undefined,
  });
  rounds.poke();
  await vi.advanceTimersByTimeAsync(1);
  expect(calls).toBe(1);
  rounds.poke();
  rounds.poke();
  await vi.advanceTimersByTimeAsync(1);
  expect(calls).toBe(1);
  finish();
  await vi.advanceTimersByTimeAsync(1);
  expect(calls).toBe(2);
  finish();
  await vi.advanceTimersByTimeAsync(500);
  expect(calls).toBe(2);
  vi.useRealTimers();
});
