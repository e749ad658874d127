import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .trim()
  .split("\n")
  .filter((path) => existsSync(join(root, path)));
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Manifest {
  name: string;
  private?: boolean;
  license?: string;
  type?: string;
  exports?: unknown;
  scripts?: Record<string, string>;
  dependencies?: Record<string, string>;
}

const manifests = files
  .filter((path) => /(^|\/)package\.json$/.test(path))
  .map((path) => ({ directory: dirname(path), manifest: JSON.parse(read(path)) as Manifest }));

test("every workspace is private, says its licence, and is made of modules", () => {
  expect(manifests.length).toBeGreaterThan(25);
  for (const { directory, manifest } of manifests) {
    expect(manifest, directory).toMatchObject({ private: true, license: "Apache-2.0", type: "module" });
    if (directory !== ".") expect(manifest.name, directory).toMatch(/^@claviger\/[a-z0-9-]+$/);
    // Nothing runs because it was installed.
    for (const script of ["preinstall", "install", "postinstall", "prepare"]) {
      expect(manifest.scripts?.[script], directory).toBeUndefined();
    }
  }
});

test("every package has an index of what is public", () => {
  for (const { directory, manifest } of manifests) {
    if (!directory.startsWith("packages/") || manifest.exports === undefined) continue;
    const entry = `${directory}/src/index.ts`;
    const program = `${directory}/src/main.ts`;
    expect(files.includes(entry) || files.includes(program), entry).toBe(true);
  }
});

test("a dependency's version is exact, and the same wherever it is used", () => {
  const versions = new Map<string, string>();
  const wrong: string[] = [];
  for (const { directory, manifest } of manifests) {
    for (const [name, version] of Object.entries(manifest.dependencies ?? {})) {
      const known = versions.get(name) ?? version;
      versions.set(name, known);
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version) || known !== version)
        wrong.push(`${directory}: ${name} ${version}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("every generated file has its contract, and every contract its generated file", () => {
  const contracts = files.filter((path) => path.startsWith("proto/") && path.endsWith(".proto"));
  const generated = files.filter((path) => path.endsWith("_pb.ts"));
  expect(generated.length).toBe(contracts.length);
  const sources = generated.map((path) => /@generated from file (\S+)/.exec(read(path))?.[1]);
  expect(sources.map((source) => `proto/${source}`).sort()).toEqual(contracts.sort());
});

test("every test is found by a project", () => {
  const known = /^(packages|services|deploy)\/|^test\/(tidy|conformance|formats|e2e|adversary|chaos)\//;
  expect(files.filter((path) => path.endsWith(".test.ts") && !known.test(path))).toEqual([]);
});

test("no test is left out or left alone", () => {
  const left = new RegExp(["\\b(?:test|it|describe)\\.(?:", "on", "ly|to", "do|skip)\\("].join(""));
  expect(files.filter((path) => path.endsWith(".test.ts") && left.test(read(path)))).toEqual([]);
});

test("a decision record says when, what and why on about a page", () => {
  const records = files.filter((path) => /^docs\/adr\/.*\.md$/.test(path));
  const numbers = records.map((path) => /\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1]);
  expect(numbers).toEqual(records.map((_, at) => String(at + 1).padStart(4, "0")));
});
