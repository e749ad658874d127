import { DomainError } from "@claviger/domain-error";

export const identityKinds = ["claviger", "user", "workload"] as const;
export type IdentityKind = (typeof identityKinds)[number];

/** A caller or a service, as its certificate's one SPIFFE URI names it. */
export interface Identity {
  /** `spiffe://trust-domain/kind/name`. */
  readonly uri: string;
  readonly trustDomain: string;
  readonly kind: IdentityKind;
  /** Without the kind, such as `billing` or `team/billing`. */
  readonly name: string;
}

const identityUriCharactersMax = 255;
const trustDomainPattern = /^[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?$/;
const segmentPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/;
const segmentsMax = 4;

/**
 * Reads a SPIFFE ID (SPIFFE-ID section 2) of Claviger's own shape. Stricter than the standard on
 * purpose: no percent signs, no empty or dotted segments, one of three kinds.
 * @throws DomainError `invalid-argument`
 */
export function parseIdentity(uri: string): Identity {
  const refuse = (why: string): never => {
    throw new DomainError("invalid-argument", `not an identity of Claviger's: ${why}`, {
      hint: "an identity is spiffe://trust-domain/workload/name or …/user/name",
    });
  };
  if (uri.length > identityUriCharactersMax) return refuse(`over ${identityUriCharactersMax} characters`);
  const match = /^spiffe:\/\/([^/]*)\/([^/]*)\/(.*)$/.exec(uri);
  const [, trustDomain = "", kind = "", name = ""] = match ?? [];
  if (match === null) return refuse("it is not spiffe://trust-domain/kind/name");
  if (!trustDomainPattern.test(trustDomain)) return refuse("its trust domain is malformed");
  if (!isIdentityKind(kind)) return refuse(`its kind is not one of ${identityKinds.join(", ")}`);
  const segments = name.split("/");
  if (segments.length > segmentsMax || segments.some((segment) => !segmentPattern.test(segment))) {
    return refuse("its name may have letters, digits, dots, dashes and underscores");
  }
  return { uri, trustDomain, kind, name };
}

function isIdentityKind(value: string): value is IdentityKind {
  return (identityKinds as readonly string[]).includes(value);
}

/** `billing` → the workload `billing`; `user/alice` → the user; a whole URI stays itself. */
export function identityFromName(trustDomain: string, name: string): Identity {
  if (name.startsWith("spiffe://")) return parseIdentity(name);
  const qualified = /^(workload|user|claviger)\//.test(name) ? name : `workload/${name}`;
  return parseIdentity(`spiffe://${trustDomain}/${qualified}`);
}

export function serviceIdentity(trustDomain: string, service: string): Identity {
  return parseIdentity(`spiffe://${trustDomain}/claviger/${service}`);
}

/** What people read: `workload/billing`. */
export function shortName(identity: Identity): string {
  return `${identity.kind}/${identity.name}`;
}

/**
 * The caller out of Node's `subjectaltname` text. Node quotes any entry whose value could be taken
 * for another entry; we refuse every certificate that has one, and any that has not exactly one URI.
 * @throws DomainError `unauthenticated`
 */
export function identityFromSubjectAltName(
  subjectAltName: string | undefined,
  trustDomain: string,
): Identity {
  const refuse = (why: string, cause?: unknown): never => {
    throw new DomainError("unauthenticated", `the client certificate names no identity: ${why}`, {
      hint: "use a certificate that Claviger issued to a workload or a user: claviger identities enroll NAME",
      cause,
    });
  };
  if (subjectAltName === undefined || subjectAltName.includes('"')) {
    return refuse("it has no readable subject alternative name");
  }
  const uris = subjectAltName.split(", ").filter((entry) => entry.startsWith("URI:"));
  if (uris.length !== 1) return refuse(`it has ${uris.length} URIs, and exactly one is wanted`);
  let identity: Identity;
  try {
    identity = parseIdentity(uris[0]!.slice("URI:".length));
  } catch (error) {
    return refuse((error as Error).message, error);
  }
  if (identity.trustDomain !== trustDomain) return refuse("it is of another trust domain");
  return identity;
}
