import { expect, test } from "vitest";
import { LeaseCache } from "./index.ts";

function cacheWithClock(entriesMax = 10) {
  const clock = { now: 0 };
  const released: string[] = [];
  const cache = new LeaseCache<string>({
    leaseMilliseconds: 100,
    entriesMax,
    monotonicNow: () => clock.now,
    onRelease: (value) => released.push(value),
  });
  return { cache, clock, released };
}

test("a lease runs from the moment of asking, not of the answer", async () => {
  const { cache, clock } = cacheWithClock();
  await cache.get("a", async () => {
    clock.now = 60;
    return "first";
  });
  clock.now = 99;
  expect(cache.peek("a")).toBe("first");
  clock.now = 100;
  expect(cache.peek("a")).toBeUndefined();
});

test("an answer that was on its way when access changed is not kept", async () => {
  const { cache } = cacheWithClock();
  const value = await cache.get("a", async () => {
    cache.invalidate();
    return "stale";
  });
  expect(value).toBe("stale");
  expect(cache.peek("a")).toBeUndefined();
});

test("after an invalidation nobody joins a question asked before it", async () => {
  const { cache } = cacheWithClock();
  let answerFirst: (value: string) => void = () => {};
  const first = cache.get("a", () => new Promise<string>((resolve) => (answerFirst = resolve)));
  cache.invalidate();
  const second = await cache.get("a", async () => "new");
  answerFirst("old");
  expect(await first).toBe("old");
  expect(second).toBe("new");
  expect(cache.peek("a")).toBe("new");
});

test("what leaves the cache is released once: by bound, by invalidation, by sweep", async () => {
  const { cache, clock, released } = cacheWithClock(2);
  for (const key of ["a", "b", "c"]) await cache.get(key, async () => key);
  expect(released).toEqual(["a"]);
  cache.invalidate((key) => key === "b");
  expect(released).toEqual(["a", "b"]);
  clock.now = 1000;
  cache.sweep();
  cache.sweep();
  expect(released).toEqual(["a", "b", "c"]);
  expect(cache.size).toBe(0);
});

test("callers that ask at the same time share one question, and a failure is not kept", async () => {
  const { cache } = cacheWithClock();
  let asked = 0;
  const fail = async (): Promise<string> => {
    asked += 1;
    throw new Error("down");
  };
  const both = await Promise.allSettled([cache.get("a", fail), cache.get("a", fail)]);
  expect(both.map((result) => result.status)).toEqual(["rejected", "rejected"]);
  expect(asked).toBe(1);
  expect(await cache.get("a", async () => "up")).toBe("up");
});

test("an answer that is not kept is released too, but only after its use", async () => {
  const { cache, released } = cacheWithClock();
  await cache.get("a", async () => {
    cache.invalidate();
    return "passing";
  });
  expect(released).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(released).toEqual(["passing"]);
});

test("an entry that is asked for anew stays where nobody answers, and goes where somebody does", async () => {
  const { cache, released } = cacheWithClock();
  await cache.get("a", async () => "first");
  const away = cache.renew("a", "first", async () => {
    throw new Error("away");
  });
  await expect(away).rejects.toThrow("away");
  expect(cache.peek("a")).toBe("first");
  await cache.renew("a", "first", async () => "second");
  expect(cache.peek("a")).toBe("second");
  expect(released).toEqual(["first"]);
  await cache.renew("a", "first", async () => "third");
  expect(cache.peek("a")).toBe("second");
});
