import { expect, test } from "vitest";
import { BoundedWork } from "./bounded-work.ts";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test("so much is done at once, and the rest in turn", async () => {
  const bounded = new BoundedWork({ atOnceMax: 3, waitMillisecondsMax: 60_000, waitingMax: 1000 });
  let underWay = 0;
  let most = 0;
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      bounded.run(async () => {
        most = Math.max(most, ++underWay);
        order.push(index);
        await pause(1);
        underWay -= 1;
      }),
    ),
  );
  expect(most).toBe(3);
  expect(order).toEqual(Array.from({ length: 50 }, (_, index) => index));
});

test("what would wait for too long is refused at once, with when to come back; then there is room again", async () => {
  const bounded = new BoundedWork({ atOnceMax: 2, waitMillisecondsMax: 1000, waitingMax: 1_000_000 });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10_000 }, () => bounded.run(() => pause(20).then(() => "done"))),
  );
  const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
  expect(refused.length).toBeGreaterThan(5000);
  expect(refused.length).toBeLessThan(10_000);
  expect(refused[0]).toMatchObject({ kind: "exhausted", retryAfterSeconds: 2, hint: "try again in 2 s" });
  expect(await bounded.run(async () => "again")).toBe("again");
});

test("work that fails gives its place on", async () => {
  const bounded = new BoundedWork({ atOnceMax: 1, waitMillisecondsMax: 60_000, waitingMax: 10 });
  const failing = bounded.run(() => Promise.reject(new Error("no")));
  const next = bounded.run(async () => "yes");
  await expect(failing).rejects.toThrow("no");
  expect(await next).toBe("yes");
});
