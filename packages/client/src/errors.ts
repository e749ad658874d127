import { X509Certificate } from "node:crypto";
import { DomainError, type ErrorKind, isErrorKind } from "@claviger/domain-error";
import { type ServiceError, status } from "@grpc/grpc-js";
import { probeHandshake } from "./handshake-probe.ts";
import type { Transport } from "./transport.ts";

/** What a status means where the server did not say its own kind: another server, a proxy, the library. */
const kindOfStatus: Partial<Record<status, ErrorKind>> = {
  [status.INVALID_ARGUMENT]: "invalid-argument",
  [status.OUT_OF_RANGE]: "invalid-argument",
  [status.NOT_FOUND]: "not-found",
  [status.ALREADY_EXISTS]: "already-exists",
  [status.UNAUTHENTICATED]: "unauthenticated",
  [status.PERMISSION_DENIED]: "denied",
  [status.FAILED_PRECONDITION]: "failed-precondition",
  [status.DATA_LOSS]: "integrity",
  [status.RESOURCE_EXHAUSTED]: "exhausted",
  [status.ABORTED]: "aborted",
  [status.UNAVAILABLE]: "unavailable",
  [status.DEADLINE_EXCEEDED]: "deadline-exceeded",
  [status.CANCELLED]: "unavailable",
};

const retryAfterSecondsMax = 3600;

function readRetryAfter(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,6}$/.test(text)) return undefined;
  return Math.min(Number(text), retryAfterSecondsMax);
}

/** A typed error out of a gRPC status. */
export function errorFromStatus(error: ServiceError | DomainError, transport: Transport): DomainError {
  if (error instanceof DomainError) return error;
  const said = error.metadata?.get("claviger-kind")[0];
  const hint = error.metadata?.get("claviger-hint-bin")[0];
  if (typeof said === "string" && isErrorKind(said)) {
    return new DomainError(said, error.details, {
      hint: hint === undefined ? undefined : hint.toString(),
      retryAfterSeconds: readRetryAfter(error.metadata?.get("claviger-retry-after")[0]?.toString()),
      cause: error,
    });
  }
  const kind = kindOfStatus[error.code] ?? "internal";
  if (kind === "unavailable") {
    return (
      diagnoseCertificates(transport, error) ??
      new DomainError("unavailable", `${transport.options.address} cannot be reached`, {
        hint: "see what runs with `claviger status`; on this machine `npm start` starts it",
        cause: error,
      })
    );
  }
  return new DomainError(kind, error.details, { cause: error });
}

/**
 * The last word on a call that could not be delivered: whether the server refuses this identity's
 * certificate, or is away.
 */
export async function explainUnavailable(error: DomainError, transport: Transport): Promise<DomainError> {
  if (error.kind !== "unavailable" || isSaidByServer(error)) return error;
  if ((await probeHandshake(transport)) !== "rejected") return error;
  return new DomainError(
    "unauthenticated",
    `the server at ${transport.options.address} ends the connection when it sees this identity's certificate`,
    {
      hint: "it may be of another installation, or of a CA that is no longer trusted: enrol again with a new token (claviger identities enroll NAME)",
      cause: error,
    },
  );
}

function isSaidByServer(error: DomainError): boolean {
  return (error.cause as ServiceError | undefined)?.metadata?.get("claviger-kind")[0] !== undefined;
}

/**
 * TLS refuses a bad certificate without a gRPC status: all that arrives is a connection that ends.
 * What is wrong can mostly be seen from here.
 */
function diagnoseCertificates(transport: Transport, cause: ServiceError): DomainError | undefined {
  const { identity, serverIdentity } = transport.options;
  const { leaf, material } = identity;
  const now = Date.now();
  const enrol = "enrol again with a new token: claviger identities enroll NAME";
  const refuse = (message: string, hint: string): DomainError =>
    new DomainError("unauthenticated", message, { hint, cause });
  if (Date.parse(leaf.validTo) < now)
    return refuse(`this identity's certificate expired on ${leaf.validTo}`, enrol);
  if (Date.parse(leaf.validFrom) > now) {
    return refuse(
      `this identity's certificate is valid only from ${leaf.validFrom}`,
      "check this machine's clock",
    );
  }
  if (!chainsToBundle(material.certificateChain, material.trustBundle)) {
    return refuse(
      "this identity's certificate was issued by another CA than the bundle beside it names",
      enrol,
    );
  }
  const details = cause.details;
  if (details.includes(`the server is not ${serverIdentity}`)) {
    return refuse(
      `what answers at ${transport.options.address} is not ${serverIdentity}`,
      "check the address",
    );
  }
  if (/self.signed certificate|unable to (get|verify)|certificate signature failure/i.test(details)) {
    return refuse(
      `the server at ${transport.options.address} has a certificate of a CA that is not in this identity's bundle`,
      "fetch the current bundle with `claviger certs bundle`, or check that this is the right installation",
    );
  }
  if (/certificate has expired/i.test(details)) {
    return refuse("the server's certificate has expired", "on its host run `claviger init --renew`");
  }
  return undefined;
}

function chainsToBundle(chain: string, bundle: string): boolean {
  const split = (pem: string): X509Certificate[] =>
    (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map(
      (block) => new X509Certificate(block),
    );
  const certificates = split(chain);
  const roots = split(bundle);
  const issuedBy = (child: X509Certificate, issuer: X509Certificate): boolean =>
    child.checkIssued(issuer) && child.verify(issuer.publicKey);
  let current = certificates[0];
  for (let depth = 0; current !== undefined && depth < 4; depth += 1) {
    const child: X509Certificate = current;
    if (roots.some((root) => issuedBy(child, root))) return true;
    current = certificates.slice(depth + 1).find((issuer) => issuedBy(child, issuer));
  }
  return false;
}
