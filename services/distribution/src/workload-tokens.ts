import { DomainError } from "@claviger/domain-error";
import { type Identity, identityFromName } from "@claviger/identity";
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import type { TokenIssuerRow, TokenRuleRow } from "./store/token-issuers.ts";

const tokenCharactersMax = 8192;
const jwksBytesMax = 64 * 1024;
const keysMax = 20;
const claimsMax = 10;
const claimCharactersMax = 512;
/** A token that is older was not made for this. */
const ageMax = "1 hour";
const clockToleranceSeconds = 30;
/** Asymmetric ones alone: with a public key as the secret of an HMAC anybody could sign. */
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/** Three parts in base64url, the first of them JSON: what no one-time token of Claviger looks like. */
export function isWorkloadToken(token: string): boolean {
  return /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/.test(token);
}

/** Public keys alone, each of a kind that tokens are signed with. @throws DomainError `invalid-argument` */
export function checkJwks(text: string): string {
  const refuse = (why: string): DomainError =>
    new DomainError("invalid-argument", `this is no key set: ${why}`, {
      hint: "the JSON at the issuer's jwks_uri: kubectl get --raw /openid/v1/jwks",
    });
  if (text.length > jwksBytesMax) throw refuse(`it has more than ${jwksBytesMax} bytes`);
  let parsed: { keys?: unknown };
  try {
    parsed = JSON.parse(text) as { keys?: unknown };
  } catch {
    throw refuse("it is not JSON");
  }
  if (!Array.isArray(parsed.keys) || parsed.keys.length === 0) throw refuse('it has no "keys"');
  if (parsed.keys.length > keysMax) throw refuse(`it has more than ${keysMax} keys`);
  for (const key of parsed.keys as Record<string, unknown>[]) {
    if (!["RSA", "EC", "OKP"].includes(String(key?.kty))) throw refuse("a key is neither RSA, EC nor OKP");
    if ("d" in key || "k" in key) throw refuse("it holds a private key: take that out of use");
  }
  return JSON.stringify({ keys: parsed.keys });
}

/** The canonical form of a rule's claims. @throws DomainError `invalid-argument` */
export function checkClaims(claims: Readonly<Record<string, string>>): string {
  const entries = Object.entries(claims).sort(([one], [other]) => (one < other ? -1 : 1));
  const isTooLong = entries.some(([name, value]) => name.length + value.length > claimCharactersMax);
  if (entries.length > claimsMax || isTooLong || entries.some(([, value]) => value === "")) {
    throw new DomainError("invalid-argument", `a rule has at most ${claimsMax} claims, none of them empty`);
  }
  if (!Object.hasOwn(claims, "sub")) {
    throw new DomainError("invalid-argument", "a rule says which subject it is for", {
      hint: "such as sub=system:serviceaccount:payments:billing",
    });
  }
  return JSON.stringify(Object.fromEntries(entries));
}

/** A rule's identity. @throws DomainError */
export function checkRuleIdentity(trustDomain: string, name: string): Identity {
  const identity = identityFromName(trustDomain, name);
  if (identity.kind !== "workload" || identity.trustDomain !== trustDomain) {
    throw new DomainError("denied", "workload tokens enrol workloads of this trust domain alone");
  }
  return identity;
}

/** Who says to have made it, before anything of it is believed. */
export function claimedIssuer(token: string): string {
  try {
    const { iss } = decodeJwt(token);
    if (token.length <= tokenCharactersMax && typeof iss === "string") return iss;
  } catch {
    // Said below.
  }
  throw refused();
}

/** @throws DomainError `unauthenticated`, saying the same whatever is wrong with it */
export async function verifyWorkloadToken(
  token: string,
  issuer: TokenIssuerRow,
  now: Date,
): Promise<JWTPayload> {
  try {
    const keys = createLocalJWKSet(JSON.parse(issuer.jwks) as JSONWebKeySet);
    const { payload } = await jwtVerify(token, keys, {
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms,
      requiredClaims: ["sub", "exp", "iat"],
      maxTokenAge: ageMax,
      clockTolerance: clockToleranceSeconds,
      currentDate: now,
    });
    return payload;
  } catch (cause) {
    throw refused(cause);
  }
}

/** The one identity that a verified token's claims mean. @throws DomainError `denied` */
export function identityByRules(payload: JWTPayload, rules: readonly TokenRuleRow[]): string {
  const identities = new Set(rules.filter((rule) => fits(payload, rule)).map(({ identity }) => identity));
  const [identity, ...others] = identities;
  if (identity !== undefined && others.length === 0) return identity;
  throw new DomainError(
    "denied",
    identity === undefined
      ? "no rule maps this token's claims to an identity"
      : "rules map this token's claims to several identities",
    {
      hint: "an administrator can add a rule: claviger identities issuers rule NAME --claim sub=… --to IDENTITY",
    },
  );
}

/** Texts, numbers and booleans, as JSON writes them; a list or an object is no text. */
function fits(payload: JWTPayload, rule: TokenRuleRow): boolean {
  const wanted = Object.entries(JSON.parse(rule.claims) as Record<string, string>);
  return wanted.every(([name, value]) => {
    const claim = Object.hasOwn(payload, name) ? payload[name] : undefined;
    return ["string", "number", "boolean"].includes(typeof claim) && String(claim) === value;
  });
}

function refused(cause?: unknown): DomainError {
  return new DomainError("unauthenticated", "this workload token is not accepted here", {
    hint: "its issuer, audience, age and signature have to be those of `claviger identities issuers list`",
    cause,
  });
}
