import { expect, test } from "vitest";
import { type Answer, AnswerCache } from "./answer-cache.ts";

const answer = (serial: string, more: Partial<Answer> = {}): Answer => ({
  body: Uint8Array.of(1),
  status: { status: "good" },
  serial,
  thisUpdate: 0,
  nextUpdate: Date.now() + 60_000,
  etag: "",
  confirmedAt: performance.now(),
  ...more,
});

test("the answer used longest ago goes where there are too many", () => {
  const cache = new AnswerCache(2);
  cache.set("a", answer("01"));
  cache.set("b", answer("02"));
  cache.get("a");
  cache.set("c", answer("03"));
  expect([cache.get("a"), cache.get("b"), cache.get("c")].map((found) => found?.serial)).toEqual([
    "01",
    undefined,
    "03",
  ]);
});

test("an answer past its end is not given, whatever else is away", () => {
  const cache = new AnswerCache(2);
  cache.set("a", answer("01", { nextUpdate: Date.now() - 1 }));
  expect(cache.get("a")).toBeUndefined();
  expect(cache.size).toBe(0);
});

test("what is said about a serial takes every answer about it away", () => {
  const cache = new AnswerCache(10);
  cache.set("by sha1", answer("01"));
  cache.set("by sha256", answer("01"));
  cache.set("another", answer("02"));
  cache.forget("01");
  expect([cache.get("by sha1"), cache.get("by sha256")]).toEqual([undefined, undefined]);
  expect(cache.get("another")?.serial).toBe("02");
});

test("an answer that was looked up before its certificate was revoked, and signed after, is not kept", async () => {
  const cache = new AnswerCache(10);
  const lookedUp = answer("01");
  await new Promise((resolve) => setTimeout(resolve, 2));
  cache.forget("01");
  cache.set("a", lookedUp);
  expect(cache.get("a")).toBeUndefined();
  cache.set("a", answer("01", { status: { status: "unknown" } }));
  expect(cache.get("a")?.status.status).toBe("unknown");
});
