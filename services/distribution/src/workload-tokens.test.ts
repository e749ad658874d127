import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type JWTPayload, SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import {
  checkClaims,
  checkJwks,
  checkRuleIdentity,
  claimedIssuer,
  identityByRules,
  isWorkloadToken,
  verifyWorkloadToken,
} from "./workload-tokens.ts";

const now = new Date("2026-06-01T12:00:00Z");
const nowSeconds = now.getTime() / 1000;
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwk = { ...pair.publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256" };
const issuer = {
  name: "cluster",
  issuer: "https://cluster.example",
  audience: "claviger",
  jwks: checkJwks(JSON.stringify({ keys: [jwk] })),
  createdBy: "",
  createdAt: now,
};
const claims: JWTPayload = {
  iss: issuer.issuer,
  aud: ["claviger", "another"],
  sub: "system:serviceaccount:payments:billing",
  iat: nowSeconds - 60,
  exp: nowSeconds + 600,
};

function sign(payload: JWTPayload, key: KeyObject = pair.privateKey, header = {}): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid: "one", ...header }).sign(key);
}

test("a token of the issuer, for us and of now, is believed", async () => {
  const token = await sign(claims);
  expect(isWorkloadToken(token)).toBe(true);
  expect(claimedIssuer(token)).toBe(issuer.issuer);
  expect((await verifyWorkloadToken(token, issuer, now)).sub).toBe(claims.sub);
});

describe("a token is refused, with the same words, that is", () => {
  const without = (name: string): JWTPayload => {
    const { [name]: _, ...rest } = claims;
    return rest;
  };
  const none = (payload: JWTPayload): string =>
    `${[{ alg: "none" }, payload].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.AAAA`;
  const withPublicKeyAsSecret = (payload: JWTPayload): string => {
    const signed = [{ alg: "HS256", kid: "one" }, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const secret = pair.publicKey.export({ format: "pem", type: "spki" });
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  };
  const cases: [string, () => Promise<string> | string][] = [
    ["signed by somebody else", () => sign(claims, other.privateKey)],
    ["of another issuer", () => sign({ ...claims, iss: "https://evil.example" })],
    ["for another audience", () => sign({ ...claims, aud: "another" })],
    ["for nobody in particular", () => sign(without("aud"))],
    ["past its end", () => sign({ ...claims, exp: nowSeconds - 60 })],
    ["without an end", () => sign(without("exp"))],
    ["not yet valid", () => sign({ ...claims, nbf: nowSeconds + 600 })],
    ["older than an hour, though it ends late", () => sign({ ...claims, iat: nowSeconds - 7200 })],
    ["without a date", () => sign(without("iat"))],
    ["without a subject", () => sign(without("sub"))],
    ["unsigned", () => none(claims)],
    ["signed with the public key as a secret", () => withPublicKeyAsSecret(claims)],
    ["of an unknown key", () => sign(claims, other.privateKey, { kid: "two" })],
  ];
  test.each(cases)("%s", async (_, make) => {
    await expect(verifyWorkloadToken(await make(), issuer, now)).rejects.toMatchObject({
      kind: "unauthenticated",
      message: "this workload token is not accepted here",
    });
  });

  test("too long, or none", async () => {
    const long = await sign({ ...claims, more: "x".repeat(9000) });
    for (const token of [long, "", "a.b.c", "eyJ.eyJ."]) {
      expect(() => claimedIssuer(token)).toThrow(expect.objectContaining({ kind: "unauthenticated" }));
    }
  });
});

describe("claims", () => {
  const rule = (wanted: Record<string, string>, identity: string) => ({
    id: "",
    issuerName: "cluster",
    claims: checkClaims(wanted),
    identity,
    createdBy: "",
    createdAt: now,
  });
  const sub = claims.sub ?? "";

  test("mean one identity, or nobody", () => {
    const rules = [rule({ sub }, "billing"), rule({ sub, repository: "a/b" }, "builder")];
    expect(identityByRules({ sub }, rules)).toBe("billing");
    expect(() => identityByRules({ sub: "another" }, rules)).toThrow(/no rule/);
    expect(() => identityByRules({ sub, repository: "a/b" }, rules)).toThrow(/several/);
  });

  test("are compared whole, and as texts; lists, objects and what objects inherit are none", () => {
    const is = (payload: JWTPayload, wanted: Record<string, string>): boolean => {
      try {
        return identityByRules(payload, [rule(wanted, "x")]) === "x";
      } catch {
        return false;
      }
    };
    expect(is({ sub, run: 7 }, { sub, run: "7" })).toBe(true);
    expect(is({ sub: `${sub}-evil` }, { sub })).toBe(false);
    expect(is({ sub, groups: ["admin"] }, { sub, groups: "admin" })).toBe(false);
    expect(is({ sub }, { sub, toString: "function toString() { [native code] }" })).toBe(false);
  });

  test("without a subject are no rule", () => {
    expect(() => checkClaims({ repository: "a/b" })).toThrow(/subject/);
    expect(() => checkClaims({ sub: "" })).toThrow(/empty/);
    expect(checkClaims({ z: "1", sub: "s", a: "2" })).toBe('{"a":"2","sub":"s","z":"1"}');
  });
});

test("rules are for workloads of this trust domain", () => {
  expect(checkRuleIdentity("a.test", "billing").uri).toBe("spiffe://a.test/workload/billing");
  for (const name of ["user/administrator", "claviger/generator", "spiffe://b.test/workload/x"]) {
    expect(() => checkRuleIdentity("a.test", name)).toThrow(expect.objectContaining({ kind: "denied" }));
  }
});

test("a key set holds public keys, and no secret ones", () => {
  const secret = pair.privateKey.export({ format: "jwk" });
  for (const text of [
    "",
    "{}",
    '{"keys":[]}',
    '{"keys":[{"kty":"oct","k":"AAAA"}]}',
    JSON.stringify({ keys: [secret] }),
  ]) {
    expect(() => checkJwks(text)).toThrow(expect.objectContaining({ kind: "invalid-argument" }));
  }
});
