import { expect, test } from "vitest";
import { Coalesced } from "./observations.ts";

const at = (minutes: number) => new Date(minutes * 60_000);

test("what is seen a thousand times in an hour is written once, and again in the next", () => {
  const seen = new Coalesced<string>();
  for (let count = 0; count < 1000; count += 1)
    seen.note("alice", "encrypt", "alice encrypts", at(count / 20));
  expect(seen.take(100)).toEqual([{ at: at(0), value: "alice encrypts" }]);
  seen.note("alice", "encrypt", "alice encrypts", at(59));
  expect(seen.waits).toBe(false);
  seen.note("alice", "encrypt", "alice encrypts", at(61));
  expect(seen.take(100)).toHaveLength(1);
});

test("who asks for one name after the other fills no more than a share, and keeps nobody else out", () => {
  const seen = new Coalesced<number>();
  for (let count = 0; count < 50_000; count += 1) seen.note("mallory", `key ${count}`, count, at(0));
  seen.note("alice", "key", 1, at(0));
  expect(seen.take(100_000)).toHaveLength(201);
});

test("with many identities at once what does not fit is left out, and noted when it comes again", () => {
  const seen = new Coalesced<number>();
  for (let count = 0; count < 20_000; count += 1) seen.note(`client ${count}`, "key", count, at(0));
  expect(seen.take(100_000)).toHaveLength(10_000);
  seen.note("client 19999", "key", 19_999, at(1));
  expect(seen.take(10)).toHaveLength(1);
});
