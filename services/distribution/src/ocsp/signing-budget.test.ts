import { expect, test } from "vitest";
import { SigningBudget } from "./signing-budget.ts";

test("a flood gets the burst and no more, and what is refused costs nothing", async () => {
  const budget = new SigningBudget({ perSecond: 0.001, burst: 5, atOnceMax: 100 });
  let signed = 0;
  const answers = await Promise.all(
    Array.from({ length: 1000 }, () =>
      budget.spend(async () => {
        signed += 1;
        return "signed";
      }),
    ),
  );
  expect(signed).toBe(5);
  expect(answers.filter((answer) => answer === undefined)).toHaveLength(995);
});

test("so many signatures are under way, and one that fails gives its place back", async () => {
  const budget = new SigningBudget({ perSecond: 1000, burst: 1000, atOnceMax: 1 });
  let finish = (): void => undefined;
  const first = budget.spend(() => new Promise<string>((resolve) => (finish = () => resolve("first"))));
  expect(await budget.spend(async () => "second")).toBeUndefined();
  finish();
  expect(await first).toBe("first");
  await expect(budget.spend(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await budget.spend(async () => "third")).toBe("third");
});
