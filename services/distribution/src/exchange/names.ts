import { DomainError } from "@claviger/domain-error";
import { identityFromName } from "@claviger/identity";

const namePattern = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/;
const everythingBelow = "/*";

/** @throws DomainError `invalid-argument` */
export function checkName(name: string, of: string): string {
  if (namePattern.test(name)) return name;
  throw new DomainError("invalid-argument", `"${name.slice(0, 80)}" is not a name of a ${of}`, {
    hint: "names have lower-case letters, digits, dots, dashes and underscores, 1 to 63 of them",
  });
}

/** One whom keys may be given to: a workload or a user of this trust domain, as a whole URI. */
export function checkParty(trustDomain: string, name: string): string {
  const identity = identityFromName(trustDomain, name);
  if (identity.trustDomain !== trustDomain) {
    throw new DomainError("invalid-argument", `${identity.uri} is of another trust domain`);
  }
  if (identity.kind === "claviger") {
    throw new DomainError("denied", "Claviger's own services are given no keys");
  }
  return identity.uri;
}

/** An identity, or all below one: `workload/shop/*`. */
export function checkPattern(trustDomain: string, text: string): string {
  if (!text.endsWith(everythingBelow)) return checkParty(trustDomain, text);
  const above = text.slice(0, -everythingBelow.length);
  // What lies below is of the same kind, and its name must be one too.
  const sample = checkParty(trustDomain, `${above}/x`);
  return `${sample.slice(0, -"/x".length)}${everythingBelow}`;
}

/** Every pattern that an identity is under, itself first. */
export function patternsOver(uri: string): string[] {
  const patterns = [uri];
  const start = uri.indexOf("/", "spiffe://".length);
  for (let end = uri.lastIndexOf("/"); end > start; end = uri.lastIndexOf("/", end - 1)) {
    patterns.push(`${uri.slice(0, end)}${everythingBelow}`);
  }
  return patterns;
}
