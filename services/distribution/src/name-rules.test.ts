import { parseIdentity } from "@claviger/identity";
import type { SubjectAltName } from "@claviger/x509";
import { describe, expect, test } from "vitest";
import { checkIdentityPattern, checkPattern, permittingRule, requireNames } from "./name-rules.ts";
import type { NameKind, NameRuleRow } from "./store/name-rules.ts";

const billing = parseIdentity("spiffe://a.test/workload/billing");
const rule = (kind: NameKind, pattern: string, identity = billing.uri): NameRuleRow => ({
  id: "0f0e0d0c-0000-4000-8000-000000000000",
  profile: "web",
  identity,
  kind,
  pattern: checkPattern(kind, pattern),
  createdBy: "",
  createdAt: new Date(0),
});

describe("a rule lets through", () => {
  test.each<[NameKind, string, SubjectAltName, boolean]>([
    ["dns", "web.example", { dns: "WEB.example" }, true],
    ["dns", "web.example", { dns: "a.web.example" }, false],
    ["dns", "*.web.example", { dns: "a.web.example" }, true],
    ["dns", "*.web.example", { dns: "*.web.example" }, true],
    ["dns", "*.web.example", { dns: "web.example" }, false],
    ["dns", "*.web.example", { dns: "a.b.web.example" }, false],
    ["dns", "*.web.example", { dns: "evilweb.example" }, false],
    ["dns", "a.web.example", { dns: "*.web.example" }, false],
    ["dns", ".web.example", { dns: "a.b.web.example" }, true],
    ["dns", ".web.example", { dns: "evilweb.example" }, false],
    ["dns", ".web.example", { dns: "web.example" }, false],
    ["dns", "10.example", { ip: "10.0.0.1" }, false],
    ["ip", "10.1.0.0/16", { ip: "10.1.2.3" }, true],
    ["ip", "10.1.0.0/16", { ip: "10.2.2.3" }, false],
    ["ip", "10.1.0.0/16", { ip: "::ffff:a01:203" }, false],
    ["ip", "2001:db8::/32", { ip: "2001:db8::7" }, true],
    ["ip", "192.0.2.7", { ip: "192.0.2.7" }, true],
    ["uri", "https://a.example/x/*", { uri: "https://a.example/x/y" }, true],
    ["uri", "https://a.example/x/*", { uri: "https://a.example/x/../y" }, false],
    ["uri", "https://a.example/x/*", { uri: "https://a.example/x/%2e%2e/y" }, false],
    ["uri", "https://a.example/x", { uri: "https://a.example/x/y" }, false],
    ["email", "*@a.example", { email: "x@a.example" }, true],
    ["email", "*@a.example", { email: "x@b.a.example" }, false],
    ["email", "x@a.example", { email: "y@a.example" }, false],
  ])("%s %s: %o is %s", (kind, pattern, name, expected) => {
    expect(permittingRule([rule(kind, pattern)], billing, name) !== undefined).toBe(expected);
  });
});

test("a rule of a group of identities is for all that begin so, and for no neighbour", () => {
  const team = rule("dns", "web.example", checkIdentityPattern("a.test", "workload/team/*"));
  const is = (uri: string) =>
    permittingRule([team], parseIdentity(uri), { dns: "web.example" }) !== undefined;
  expect(is("spiffe://a.test/workload/team/one")).toBe(true);
  expect(is("spiffe://a.test/workload/team")).toBe(false);
  expect(is("spiffe://a.test/workload/teammate")).toBe(false);
  expect(checkIdentityPattern("a.test", "workload/*")).toBe("spiffe://a.test/workload/*");
});

test.each([
  "claviger/generator",
  "claviger/*",
  "spiffe://b.test/workload/billing",
  "*",
  "workload*",
  "workload/../claviger/*",
])("no rule is for %s", (text) => {
  expect(() => checkIdentityPattern("a.test", text)).toThrow();
});

test.each<[NameKind, string]>([
  ["dns", ""],
  ["dns", "*"],
  ["dns", "."],
  ["dns", ".*.example"],
  ["dns", "a.*.example"],
  ["ip", "10.0.0.0/33"],
  ["ip", "10.0.0.0/1/2"],
  ["ip", "fe80::1%eth0"],
  ["uri", "*"],
  ["uri", "https://example.*"],
  ["uri", "https://*"],
  ["uri", "spiffe://a.test/workload/*"],
  ["uri", "urn:claviger:*"],
  ["email", "*@*"],
  ["email", "*"],
])("%s %j is no pattern", (kind, pattern) => {
  expect(() => checkPattern(kind, pattern)).toThrow();
});

test("a refusal names the name, and the rules that there are", () => {
  const rules = [rule("dns", "web.example")];
  expect(() =>
    requireNames(rules, billing, "web", [{ dns: "web.example" }, { dns: "bank.example" }]),
  ).toThrow(
    expect.objectContaining({
      kind: "denied",
      message: "no rule of profile web lets workload/billing have dns:bank.example",
      hint: "its rules: dns:web.example (0f0e0d0c)",
    }),
  );
});
