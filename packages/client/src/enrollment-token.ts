import { DomainError } from "@claviger/domain-error";
import { isAddress, isObject } from "./config-file.ts";

/** What an enrolment token says. It is a secret as a whole: whoever holds it becomes that identity. */
export interface EnrollmentToken {
  trustDomain: string;
  /** `host:port` of the listener that serves Enroll. */
  enrollmentAddress: string;
  /** `host:port` of the read-only HTTP, where the trust bundle is. */
  bundleAddress: string;
  /** SHA-256 of the trusted root certificate's DER, lower-case hexadecimal. */
  rootSha256: string;
}

const prefix = "claviger1.";
const tokenCharactersMax = 4096;
const hint = "give the token whole, as `claviger identities enroll` printed it; it is used once";

/**
 * Reads a token, `claviger1.` and base64url of JSON. Its parts never appear in an error.
 * @throws DomainError `invalid-argument`
 */
export function parseEnrollmentToken(token: string): EnrollmentToken {
  const refuse = (why: string): never => {
    throw new DomainError("invalid-argument", `this is not an enrolment token: ${why}`, { hint });
  };
  if (token.length > tokenCharactersMax) return refuse(`it has more than ${tokenCharactersMax} characters`);
  if (!token.startsWith(prefix)) return refuse(`it does not begin with ${prefix}`);
  const body = token.slice(prefix.length);
  if (!/^[A-Za-z0-9_-]+$/.test(body)) return refuse("it holds characters that no token has");
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
  } catch {
    // The cause would quote the token.
    return refuse("it is cut off or damaged");
  }
  if (!isObject(parsed)) return refuse("it is damaged");
  const { v, d, e, b, r, s } = parsed;
  if (v !== 1) return refuse("it is of another version of Claviger");
  if (typeof d !== "string" || d === "") return refuse("it names no trust domain");
  if (!isAddress(e) || !isAddress(b)) return refuse("it names no address to enrol at");
  if (typeof r !== "string" || !/^[0-9a-f]{64}$/.test(r)) return refuse("it names no trust root");
  if (typeof s !== "string" || s === "") return refuse("it has no secret");
  return { trustDomain: d, enrollmentAddress: e, bundleAddress: b, rootSha256: r };
}
