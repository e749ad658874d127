import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { requireSharesGone, sharesLeft } from "./custody.ts";

const directory = mkdtempSync(join(tmpdir(), "claviger-custody-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("in production an installation does not start again while a share is left on its host", async () => {
  await expect(requireSharesGone(join(directory, "none"), "production")).resolves.toBeUndefined();
  writeFileSync(join(directory, "README.txt"), "");
  await expect(requireSharesGone(directory, "production")).resolves.toBeUndefined();
  writeFileSync(join(directory, "share-2.txt"), "");
  expect(await sharesLeft(directory)).toEqual(["share-2.txt"]);
  await expect(requireSharesGone(directory, "production")).rejects.toThrow("share-2.txt");
  await expect(requireSharesGone(directory, "development")).resolves.toBeUndefined();
  await expect(requireSharesGone(directory, undefined)).resolves.toBeUndefined();
});
