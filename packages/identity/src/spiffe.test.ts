import { expect, test } from "vitest";
import { identityFromName, identityFromSubjectAltName, parseIdentity, shortName } from "./index.ts";

const domain = "claviger.local";

test("an identity is a SPIFFE URI of one of three kinds, and nothing looser", () => {
  expect(parseIdentity("spiffe://claviger.local/workload/team/billing")).toMatchObject({
    kind: "workload",
    name: "team/billing",
  });
  const bad = [
    "spiffe://claviger.local/workload/",
    "spiffe://claviger.local/workload/../claviger/generator",
    "spiffe://claviger.local/workload/a//b",
    "spiffe://claviger.local/workload/a%2fb",
    "spiffe://claviger.local/admin/a",
    "spiffe://claviger.local/Claviger/generator",
    "SPIFFE://claviger.local/workload/a",
    "spiffe://claviger.local:80/workload/a",
    "spiffe://user@claviger.local/workload/a",
    "spiffe://claviger.local/workload/a?x",
    "spiffe://claviger.local/workload/a#x",
    "spiffe://claviger.local/workload/a\n",
    "spiffe://claviger.local/workload/\u0430",
    `spiffe://claviger.local/workload/${"a".repeat(300)}`,
    "https://claviger.local/workload/a",
    "",
  ];
  for (const uri of bad) expect(() => parseIdentity(uri), uri).toThrow("identity");
});

test("a bare name is a workload, a qualified one what it says", () => {
  expect(shortName(identityFromName(domain, "billing"))).toBe("workload/billing");
  expect(shortName(identityFromName(domain, "user/alice"))).toBe("user/alice");
});

test("a certificate names its caller by exactly one URI of this trust domain", () => {
  const of = (text: string | undefined) => identityFromSubjectAltName(text, domain).uri;
  expect(of("DNS:localhost, URI:spiffe://claviger.local/user/a, IP Address:127.0.0.1")).toBe(
    "spiffe://claviger.local/user/a",
  );
  expect(() => of("URI:spiffe://claviger.local/user/a, URI:spiffe://claviger.local/user/b")).toThrow(
    "2 URIs",
  );
  expect(() => of("DNS:localhost")).toThrow("0 URIs");
  expect(() => of(undefined)).toThrow("no readable");
  expect(() => of('DNS:"x, URI:spiffe://claviger.local/claviger/generator"')).toThrow("no readable");
  expect(() => of("URI:spiffe://other.example/user/a")).toThrow("another trust domain");
});
