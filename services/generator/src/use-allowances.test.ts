import { DomainError } from "@claviger/domain-error";
import { expect, test } from "vitest";
import { UseAllowances } from "./use-allowances.ts";

const key = { name: "ring/key", id: "01234567-89ab-4cde-8f01-23456789abcd", version: 1 };

/** Storage with a bound, which counts what it has set aside. */
function storageWith(usesMax: number) {
  const storage = {
    reserved: 0,
    calls: 0,
    async reserveUses({ count = 0 }: { count?: number }) {
      storage.calls += 1;
      await new Promise((resolve) => setImmediate(resolve));
      const granted = Math.min(count, usesMax - storage.reserved);
      if (granted <= 0) throw new DomainError("failed-precondition", "used up");
      storage.reserved += granted;
      return { granted, $typeName: "claviger.storage.v1.ReserveUsesResponse" as const };
    },
  };
  return storage;
}

async function takeFrom(allowances: UseAllowances, count: number): Promise<void> {
  while (!allowances.take(key, count)) await allowances.reserve(key, count);
}

test("never more is taken than was set aside before, whoever takes at the same time", async () => {
  const storage = storageWith(2 ** 32);
  const allowances = new UseAllowances(storage);
  let taken = 0;
  await Promise.all(
    Array.from({ length: 300 }, async (_, at) => {
      await takeFrom(allowances, 1 + (at % 50));
      taken += 1 + (at % 50);
      expect(taken).toBeLessThanOrEqual(storage.reserved);
    }),
  );
  expect(taken).toBe(300 * 25.5);
});

test("a process that begins anew counts on: what was set aside before is not given out again", async () => {
  const storage = storageWith(2 ** 32);
  await takeFrom(new UseAllowances(storage), 1);
  const before = storage.reserved;
  await takeFrom(new UseAllowances(storage), 1);
  expect(storage.reserved).toBe(before + 1024);
});

test("at the bound uses are refused, and exactly the bound was taken", async () => {
  const storage = storageWith(5000);
  const allowances = new UseAllowances(storage);
  let taken = 0;
  const take = async (): Promise<boolean> => {
    try {
      await takeFrom(allowances, 1);
      taken += 1;
      return true;
    } catch (error) {
      expect(error).toMatchObject({ kind: "failed-precondition" });
      return false;
    }
  };
  while (await take()) {
    // Until it is refused.
  }
  expect(taken).toBe(5000);
  expect(await take()).toBe(false);
});

test("a million uses ask storage a few times", async () => {
  const storage = storageWith(2 ** 32);
  const allowances = new UseAllowances(storage);
  for (let count = 0; count < 1000; count += 1) await takeFrom(allowances, 1000);
  expect(storage.calls).toBeLessThan(20);
});
