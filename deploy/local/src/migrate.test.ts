import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { migrationsOf } from "./migrate.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "claviger-migrations-"));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

it("reads migrations in the order of their numbers", async () => {
  await writeFile(join(directory, "0002-later.sql"), "select 2");
  await writeFile(join(directory, "0001-first.sql"), "select 1");
  expect((await migrationsOf(directory)).map(({ name }) => name)).toEqual([
    "0001-first.sql",
    "0002-later.sql",
  ]);
});

it("refuses two migrations of one number, whose order nobody could tell", async () => {
  await writeFile(join(directory, "0001-one.sql"), "select 1");
  await writeFile(join(directory, "0001-other.sql"), "select 1");
  await expect(migrationsOf(directory)).rejects.toThrow("its number is taken");
});

it("has none where a service has no such directory", async () => {
  expect(await migrationsOf(join(directory, "absent"))).toEqual([]);
});
