import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRowSealer, type SealedValue } from "@claviger/row-seal";
import { afterAll, beforeAll, expect, test } from "vitest";
import { useInstallation } from "../harness/installation.ts";

const house = useInstallation();
const directory = mkdtempSync(join(tmpdir(), "claviger-retention-"));
const at = (name: string): string => join(directory, name);
const ids: Record<string, string> = {};
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Its day is moved as storage itself, and this host, would have written it. */
async function letDayCome(id: string): Promise<void> {
  const expired = new Date(Date.now() - 1000);
  const [row] = await house.superuser<Record<string, SealedValue>>(
    "SELECT * FROM storage.backups WHERE id = $1",
    [id],
  );
  const columns: Record<string, SealedValue> = { ...row, expires_at: expired };
  delete columns.seal;
  const camel = (text: string): string =>
    text.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase());
  const facts = Object.fromEntries(Object.entries(columns).map(([name, value]) => [camel(name), value]));
  const sealer = createRowSealer(readFileSync(join(house.layout.serviceDirectory("storage"), "seal.key")));
  await house.superuser("UPDATE storage.backups SET expires_at = $2, seal = $3 WHERE id = $1", [
    id,
    expired,
    sealer.seal("backups", facts),
  ]);
  const copies = join(house.layout.stateDirectory, "backups.json");
  writeFileSync(
    copies,
    readFileSync(copies, "utf8").replace(
      new RegExp(`("id": "${id}",\\s+"path": "[^"]+",\\s+"expiresAt": )"[^"]+"`),
      `$1"${expired.toISOString()}"`,
    ),
  );
}

beforeAll(async () => {
  for (const name of ["young", "old", "moved"]) {
    const { code, json, stderr } = await house.cli([
      "--json",
      "backup",
      "create",
      "--out",
      at(name),
      "--keep-days",
      "1",
    ]);
    expect(code, stderr).toBe(0);
    ids[name] = json().id;
  }
});

test("before its day no copy is deleted, whoever names it", async () => {
  const purged = (await house.cli(["--json", "backup", "purge", "--copy", at("young")])).json();
  expect(purged.deleted).toEqual([]);
  expect(purged.left).toEqual([{ path: at("young"), why: expect.stringContaining("is kept until") }]);
  expect(existsSync(at("young"))).toBe(true);
});

test("copies whose day has come are named by the list, and deleted by purge, which the log says before", async () => {
  await letDayCome(ids.old!);
  await letDayCome(ids.moved!);
  renameSync(at("moved"), at("carried-away"));
  const list = await house.cli(["backup", "list"]);
  expect(list.stdout).toContain(`the day of backup ${ids.old} has come: delete every copy of it`);
  expect(list.stdout).toContain(`  ${at("old")}`);
  expect(list.stdout).not.toContain(`  ${at("young")}`);
  const purged = (await house.cli(["--json", "backup", "purge"])).json();
  expect(purged).toMatchObject({
    deleted: [{ id: ids.old, path: at("old") }],
    elsewhere: [{ id: ids.moved, path: at("moved") }],
    left: [],
  });
  expect([at("old"), `${at("old")}.manifest.json`, at("young")].map((path) => existsSync(path))).toEqual([
    false,
    false,
    true,
  ]);
  const carried = (await house.cli(["--json", "backup", "purge", "--copy", at("carried-away")])).json();
  expect(carried.deleted).toEqual([{ id: ids.moved, path: at("carried-away") }]);
  expect(existsSync(at("carried-away"))).toBe(false);
  const search = await house.cli(["--json", "audit", "search", "--limit", "500"]);
  expect(search.stdout).toContain("BackupService/PurgeBackup");
});

test("what lies where a copy was, and is none, is left alone", async () => {
  await letDayCome(ids.young!);
  writeFileSync(at("young"), "somebody's holiday pictures");
  const purged = (await house.cli(["--json", "backup", "purge"])).json();
  expect(purged.deleted).toEqual([]);
  expect(purged.left).toEqual([{ path: at("young"), why: "another file lies there now" }]);
  expect(readFileSync(at("young"), "utf8")).toContain("holiday");
});
