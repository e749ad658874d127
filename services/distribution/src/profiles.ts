import { isIP } from "node:net";
import { DomainError } from "@claviger/domain-error";
import { type Identity, parseIdentity } from "@claviger/identity";
import type { CertificateSigningRequest, ExtendedKeyUsageName, Name, SubjectAltName } from "@claviger/x509";

export interface Profile {
  readonly extendedKeyUsage: readonly ExtendedKeyUsageName[];
  readonly lifetimeSecondsDefault: number;
  readonly lifetimeSecondsMax: number;
  /** Nobody need ask whether it is revoked: it lives shortly instead (RFC 6960 section 4.2.2.2.1). */
  readonly ocspNoCheck?: boolean;
  /** For keys of Claviger's own, whose certificates follow each other. */
  readonly own?: boolean;
}

const day = 86_400;

/** Profiles as data: what a certificate is for, and for how long. */
export const profiles = {
  server: {
    extendedKeyUsage: ["serverAuth"],
    lifetimeSecondsDefault: 90 * day,
    lifetimeSecondsMax: 398 * day,
  },
  client: {
    extendedKeyUsage: ["clientAuth"],
    lifetimeSecondsDefault: 30 * day,
    lifetimeSecondsMax: 398 * day,
  },
  workload: {
    extendedKeyUsage: ["serverAuth", "clientAuth"],
    lifetimeSecondsDefault: 30 * day,
    lifetimeSecondsMax: 90 * day,
  },
  /** Claviger's own services; given on renewal alone, never on request. */
  service: {
    extendedKeyUsage: ["serverAuth", "clientAuth"],
    lifetimeSecondsDefault: 7 * day,
    lifetimeSecondsMax: 7 * day,
  },
  /** The key that signs generation records; never on request. It signs records, and nothing else. */
  attestation: {
    extendedKeyUsage: [],
    lifetimeSecondsDefault: 4 * 365 * day,
    lifetimeSecondsMax: 4 * 365 * day,
    own: true,
  },
  /** The delegated OCSP responder of a CA; never on request. */
  ocsp: {
    extendedKeyUsage: ["OCSPSigning"],
    lifetimeSecondsDefault: 7 * day,
    lifetimeSecondsMax: 7 * day,
    ocspNoCheck: true,
    own: true,
  },
  /** The key that signs what is said about distributed keys; never on request. */
  tickets: {
    extendedKeyUsage: [],
    lifetimeSecondsDefault: 4 * 365 * day,
    lifetimeSecondsMax: 4 * 365 * day,
    own: true,
  },
} as const satisfies Record<string, Profile>;

export const requestable = ["server", "client", "workload"] as const;
const lifetimeSecondsMin = 300;

export function isRequestable(name: string): name is (typeof requestable)[number] {
  return (requestable as readonly string[]).includes(name);
}

export function checkLifetime(profile: string, seconds: number, form: Profile): number {
  const { lifetimeSecondsDefault, lifetimeSecondsMax } = form;
  const chosen = seconds || lifetimeSecondsDefault;
  if (chosen < lifetimeSecondsMin || chosen > lifetimeSecondsMax) {
    throw new DomainError(
      "invalid-argument",
      `a ${profile} certificate lives ${lifetimeSecondsMin} s to ${lifetimeSecondsMax / day} days`,
    );
  }
  return chosen;
}

export interface CertifiedNames {
  subject: Name;
  subjectAltNames: readonly SubjectAltName[];
  /** Where the certificate names somebody to Claviger itself. */
  identity: Identity | undefined;
}

/**
 * What of a request's names the profile certifies. Asking for more than it allows is refused, not
 * silently trimmed.
 * @throws DomainError `invalid-argument` naming the rule
 */
export function namesFor(
  profile: (typeof requestable)[number],
  request: CertificateSigningRequest,
  trustDomain: string,
): CertifiedNames {
  if (profile === "workload") return workloadNames(request, trustDomain);
  const { subject } = request;
  refuseSpiffe(request.subjectAltNames, profile);
  if (profile === "client") return clientNames(request);
  const names = serverNames(request);
  return {
    subject: subject.commonName === undefined ? {} : { commonName: subject.commonName },
    subjectAltNames: names,
    identity: undefined,
  };
}

function serverNames({ subject, subjectAltNames }: CertificateSigningRequest): readonly SubjectAltName[] {
  if (subjectAltNames.some((name) => !("dns" in name || "ip" in name))) {
    throw new DomainError("invalid-argument", "a server certificate is for DNS names and IP addresses alone");
  }
  const { commonName } = subject;
  if (subjectAltNames.length === 0) {
    if (commonName === undefined) {
      throw new DomainError("invalid-argument", "the request names no host", {
        hint: "add one: openssl req … -addext 'subjectAltName=DNS:web.example'",
      });
    }
    return [isIP(commonName) ? { ip: commonName } : { dns: commonName }];
  }
  const named = subjectAltNames.some((name) => Object.values(name).includes(commonName ?? ""));
  if (commonName !== undefined && !named) {
    throw new DomainError(
      "invalid-argument",
      `the common name ${commonName} is not among the alternative names`,
      {
        hint: "a server's common name, where it has one, is one of its DNS names (CA/B Forum baseline 7.1.4.3)",
      },
    );
  }
  return subjectAltNames;
}

function clientNames({ subject, subjectAltNames }: CertificateSigningRequest): CertifiedNames {
  if (subject.commonName === undefined && subjectAltNames.length === 0) {
    throw new DomainError("invalid-argument", "the request names nobody");
  }
  return { subject, subjectAltNames, identity: undefined };
}

function workloadNames({ subjectAltNames }: CertificateSigningRequest, trustDomain: string): CertifiedNames {
  const [only] = subjectAltNames;
  if (only === undefined || subjectAltNames.length !== 1 || !("uri" in only)) {
    throw new DomainError("invalid-argument", "a workload certificate has exactly one name, a SPIFFE URI", {
      hint: `for example URI:spiffe://${trustDomain}/workload/billing`,
    });
  }
  const identity = parseIdentity(only.uri);
  if (identity.trustDomain !== trustDomain || identity.kind === "claviger") {
    throw new DomainError(
      "denied",
      "this name is not given out: identities of Claviger's own come from bootstrap alone",
    );
  }
  return { subject: {}, subjectAltNames: [{ uri: identity.uri }], identity };
}

/** The name of the key that signs generation records; names of its kind are given out to nobody. */
export const attestationName = "urn:claviger:attestation";
const ownNames = /^urn:claviger:/i;

/** A SPIFFE URI is an identity for Claviger, and identities come with the workload profile alone. */
export function refuseSpiffe(names: readonly SubjectAltName[], profile: string): void {
  if (names.some((name) => "uri" in name && ownNames.test(name.uri))) {
    throw new DomainError("denied", "names that begin with urn:claviger: are Claviger's own");
  }
  if (names.some((name) => "uri" in name && /^spiffe:/i.test(name.uri))) {
    throw new DomainError("invalid-argument", `a ${profile} certificate carries no SPIFFE identity`, {
      hint: "use --profile workload for that",
    });
  }
}
