import { expect, test } from "vitest";
import { checkName, checkParty, checkPattern, patternsOver } from "./names.ts";

const domain = "x.example";
const uri = (name: string): string => `spiffe://${domain}/${name}`;

test("a pattern covers all below a name, and nothing beside it", () => {
  const covers = (pattern: string, name: string): boolean =>
    patternsOver(uri(name)).includes(checkPattern(domain, pattern));
  expect(covers("workload/*", "workload/shop/desk")).toBe(true);
  expect(covers("shop/*", "workload/shop/desk")).toBe(true);
  expect(covers("shop/*", "workload/shop")).toBe(false);
  expect(covers("shop/*", "workload/shopping/desk")).toBe(false);
  expect(covers("user/*", "workload/shop")).toBe(false);
  expect(covers("shop", "workload/shop")).toBe(true);
  expect(covers("shop", "workload/shop/desk")).toBe(false);
});

test("a pattern over everything, over Claviger's services or over another trust domain is none", () => {
  for (const text of ["*", "/*", "workload/sh*", "workload/*/desk", "", "workload/"]) {
    expect(() => checkPattern(domain, text), text).toThrow();
  }
  for (const text of ["claviger/*", "claviger/generator"]) {
    expect(() => checkPattern(domain, text), text).toThrow("own services");
  }
  expect(() => checkParty(domain, "spiffe://y.example/workload/a")).toThrow("another trust domain");
});

test("names of groups and keys are short, plain and lower-case", () => {
  for (const name of ["a", "vpn-1", "site.a_b"]) expect(checkName(name, "group")).toBe(name);
  for (const name of ["", "A", "-a", "a/b", "a b", "x".repeat(64), "ä"]) {
    expect(() => checkName(name, "group"), name).toThrow("not a name of a group");
  }
});
