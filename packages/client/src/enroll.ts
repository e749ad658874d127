import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { identityFromSubjectAltName } from "@claviger/identity";
import type { Addresses } from "./config-file.ts";
import { callEnroll } from "./enroll-call.ts";
import { parseEnrollmentToken } from "./enrollment-token.ts";
import { fetchBundle } from "./fetch-bundle.ts";

export interface EnrollOptions {
  /** `host:port` of the listener that serves Enroll. */
  enrollmentAddress: string;
  /** PEM: the roots that the server's certificate must lead to. */
  trustBundle: string;
  trustDomain: string;
  secret: string;
}

/** A first certificate and the key that it is for. The key is a secret. */
export interface EnrolledIdentity {
  /** The SPIFFE URI. */
  identity: string;
  /** PEM, PKCS #8. */
  key: string;
  /** PEM, leaf first. */
  certificateChain: string;
  /** PEM. */
  trustBundle: string;
}

export interface JoinedIdentity extends EnrolledIdentity {
  trustDomain: string;
  /** What the token knows of the installation: where to enrol, and its read-only HTTP. */
  addresses: Addresses;
}

/**
 * Makes a P-256 key and fetches its first certificate. The key never leaves this process.
 *
 * @throws DomainError `unauthenticated` where the server is not this trust domain's distribution
 * service, or another kind where it refuses the secret
 */
export async function enroll(options: EnrollOptions): Promise<EnrolledIdentity> {
  const { buildCertificateSigningRequest } = await import("@claviger/x509");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const answer = await callEnroll({
    address: options.enrollmentAddress,
    trustBundle: options.trustBundle,
    trustDomain: options.trustDomain,
    token: options.secret,
    certificateSigningRequest: buildCertificateSigningRequest({ privateKey }),
  });
  const leaf = new X509Certificate(answer.certificateChain);
  const { uri } = identityFromSubjectAltName(leaf.subjectAltName, options.trustDomain);
  if (uri !== answer.identity || !leaf.checkPrivateKey(privateKey)) {
    throw new DomainError(
      "integrity",
      "the certificate that came back is not for the key that was made here",
    );
  }
  return {
    identity: answer.identity,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    certificateChain: answer.certificateChain,
    trustBundle: answer.trustBundle,
  };
}

/**
 * Enrols with a token of `claviger identities enroll` alone. The trust bundle comes over plain HTTP;
 * what makes it trustworthy is the root's hash in the token, and only that root is trusted to enrol.
 */
export async function enrollWithToken(token: string): Promise<JoinedIdentity> {
  const text = token.trim();
  const { trustDomain, enrollmentAddress, bundleAddress, rootSha256 } = parseEnrollmentToken(text);
  const root = await findRoot(await fetchBundle(bundleAddress), rootSha256, bundleAddress);
  const enrolled = await enroll({ enrollmentAddress, trustBundle: root, trustDomain, secret: text });
  return { ...enrolled, trustDomain, addresses: { enrollment: enrollmentAddress, http: bundleAddress } };
}

/**
 * The one certificate of the bundle with this hash, PEM.
 * @throws DomainError `integrity` where there is none
 */
export async function findRoot(bundle: string, rootSha256: string, address: string): Promise<string> {
  const { decodePemBlocks, encodePem } = await import("@claviger/x509");
  const root = blocksOf(decodePemBlocks, bundle).find(
    ({ label, der }) =>
      label === "CERTIFICATE" && createHash("sha256").update(der).digest("hex") === rootSha256,
  );
  if (root === undefined) {
    throw new DomainError(
      "integrity",
      `the trust bundle at ${address} does not hold the token's trust root`,
      {
        hint: "somebody may stand between, or the CA was changed since: ask for a new token, and send nothing",
      },
    );
  }
  return encodePem("CERTIFICATE", root.der);
}

function blocksOf<Block>(decode: (pem: string) => Block[], bundle: string): Block[] {
  try {
    return decode(bundle);
  } catch {
    // What is not PEM holds no root: the caller says so, in words that fit a stranger's answer.
    return [];
  }
}
