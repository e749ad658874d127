import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .trim()
  .split("\n")
  .filter((path) => !path.endsWith("_pb.ts"));
const sources = tracked.filter((path) => path.endsWith(".ts"));
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** `packages/rpc`, `services/audit`, `deploy/local`, `proto`, `test` or `examples`. */
function houseOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return ["packages", "services", "deploy"].includes(first) ? `${first}/${second}` : first;
}

function importsOf(path: string): string[] {
  const pattern = /(?:from|import)\s*\(?\s*"([^"]+)"/g;
  return [...read(path).matchAll(pattern)].map((match) => match[1]!);
}

const manifests = tracked.filter((path) => path.endsWith("package.json") && path !== "package.json");
const houseOfPackage = new Map(
  manifests.map((path) => [(JSON.parse(read(path)) as { name: string }).name, dirname(path)]),
);

/** From house to the houses it imports, tests left aside. */
const graph = new Map<string, Set<string>>();
for (const path of sources.filter(
  (source) => !source.endsWith(".test.ts") && !source.includes("/test-support/"),
)) {
  const from = houseOf(path);
  for (const name of importsOf(path).filter((imported) => imported.startsWith("@claviger/"))) {
    const to = houseOfPackage.get(name.split("/").slice(0, 2).join("/"));
    if (to === undefined || to === from) continue;
    graph.set(from, (graph.get(from) ?? new Set()).add(to));
  }
}

test("imports go one way: services to packages to proto", () => {
  const wrong: string[] = [];
  for (const [from, targets] of graph) {
    for (const to of targets) {
      const allowed =
        from.startsWith("packages/") || from.startsWith("services/")
          ? to.startsWith("packages/") || to === "proto"
          : !to.startsWith("services/");
      if (!allowed || from === "proto") wrong.push(`${from} → ${to}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("no package reaches itself through others", () => {
  const cycles: string[] = [];
  const visit = (house: string, way: readonly string[]): void => {
    if (way.includes(house)) cycles.push([...way.slice(way.indexOf(house)), house].join(" → "));
    else for (const next of graph.get(house) ?? []) visit(next, [...way, house]);
  };
  for (const house of graph.keys()) visit(house, []);
  expect(cycles).toEqual([]);
});

test("no relative import leaves its house, except a test's", () => {
  const wrong = sources
    .filter((path) => !path.startsWith("test/"))
    .flatMap((path) =>
      importsOf(path)
        .filter((name) => name.startsWith("."))
        .filter((name) => houseOf(join(dirname(path), name)) !== houseOf(path))
        .map((name) => `${path}: ${name}`),
    );
  expect(wrong).toEqual([]);
});

test("every import of a package is declared where it is used", () => {
  const missing = new Set<string>();
  for (const path of sources) {
    const house = houseOf(path);
    const manifest = manifests.find((candidate) => dirname(candidate) === house);
    if (manifest === undefined) continue;
    const declared = JSON.parse(read(manifest)) as Record<string, Record<string, string>>;
    const known = { ...declared.dependencies, ...declared.devDependencies };
    for (const name of importsOf(path).filter((imported) => imported.startsWith("@claviger/"))) {
      const owner = name.split("/").slice(0, 2).join("/");
      if (houseOfPackage.has(owner) && houseOfPackage.get(owner) !== house && !(owner in known)) {
        missing.add(`${house}: ${owner}`);
      }
    }
  }
  expect([...missing]).toEqual([]);
});

test("a service exports nothing, and a package says in ten lines what it is", () => {
  for (const path of manifests.filter((manifest) => manifest.startsWith("services/"))) {
    expect((JSON.parse(read(path)) as { exports: object }).exports, path).toEqual({});
  }
  for (const path of manifests.filter((manifest) => /^(services|packages)\//.test(manifest))) {
    expect(tracked, path).toContain(`${dirname(path)}/README.md`);
  }
});

test("the HSM's library and the environment are each known in few rooms", () => {
  const users = (pattern: RegExp) =>
    sources.filter(
      (path) => !/\.test\.ts$|\/test-support\/|^test\/|^examples\//.test(path) && pattern.test(read(path)),
    );
  for (const path of users(/from "pkcs11js"/)) expect(path).toMatch(/^services\/generator\/src\/hsm\//);
  for (const path of users(/process\.env/)) {
    expect(path).toMatch(
      /^services\/\w+\/src\/(main|check-rows|ceremony\/(main|restore|drill|change-custody))\.ts$|^packages\/(client|cli|service)\/|^deploy\//,
    );
  }
});

test("nothing that is committed names a machine's path, or leaves work for later", () => {
  const path = /(^|[^A-Za-z0-9_.-])\/(work|root|home|farm)\//;
  const later = new RegExp(["TO" + "DO", "FIX" + "ME"].join("|"));
  const wrong = tracked
    .filter((file) => /\.(ts|sh|md|json|ya?ml|sql|proto)$/.test(file) && file !== "package-lock.json")
    .filter((file) => file !== "test/tidy/imports.test.ts")
    .filter((file) => path.test(read(file)) || later.test(read(file)));
  expect(wrong).toEqual([]);
});

test("file names are kebab-case, and no source is longer than a reader bears", () => {
  const wrong = sources.filter((path) => {
    const name = path.split("/").at(-1)!;
    const lines = read(path).split("\n").length;
    return !/^[a-z0-9-]+(\.test|\.config)?\.ts$/.test(name) || (lines > 300 && !path.startsWith("test/"));
  });
  expect(wrong).toEqual([]);
});
