import { expect, test } from "vitest";
import { type OutboxRow, publishRows, subjectOf } from "./publish-rows.ts";

function event(id: string, about: string): OutboxRow {
  return {
    id,
    subject: "claviger.events.storage.key",
    payload: Buffer.from(JSON.stringify({ subject: about })),
  };
}

/** A bus that takes its time, longer for the earlier, and refuses some. */
function slowBus(refused: readonly string[]) {
  const received: string[] = [];
  let delayMilliseconds = 20;
  return {
    received,
    async publish(_subject: string, _data: Uint8Array, id: string) {
      delayMilliseconds -= 4;
      await new Promise((resolve) => setTimeout(resolve, Math.max(delayMilliseconds, 0)));
      if (refused.includes(id)) throw new Error("not taken");
      received.push(id);
    },
  };
}

test("events of one key reach the bus in their order, however long each takes", async () => {
  const bus = slowBus([]);
  const rows = [event("1", "a/x"), event("2", "a/x"), event("3", "a/x"), event("4", "a/x")];
  expect(await publishRows(bus, rows, subjectOf)).toEqual(["1", "2", "3", "4"]);
  expect(bus.received).toEqual(["1", "2", "3", "4"]);
});

test("an event that the bus refused holds back the later ones of its key, and no other key's", async () => {
  const bus = slowBus(["2"]);
  const rows = [event("1", "a/x"), event("2", "a/x"), event("3", "b/y"), event("4", "a/x")];
  expect((await publishRows(bus, rows, subjectOf)).sort()).toEqual(["1", "3"]);
  expect(bus.received.sort()).toEqual(["1", "3"]);
});
