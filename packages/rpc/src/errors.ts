import { DomainError, type ErrorKind } from "@claviger/domain-error";
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

/** The one map from our kinds to gRPC's codes. */
export const statusOfKind = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "already-exists": status.ALREADY_EXISTS,
  unauthenticated: status.UNAUTHENTICATED,
  denied: status.PERMISSION_DENIED,
  "failed-precondition": status.FAILED_PRECONDITION,
  integrity: status.DATA_LOSS,
  exhausted: status.RESOURCE_EXHAUSTED,
  aborted: status.ABORTED,
  unavailable: status.UNAVAILABLE,
  "deadline-exceeded": status.DEADLINE_EXCEEDED,
  internal: status.INTERNAL,
} as const satisfies Record<ErrorKind, status>;

/** Whatever is not a known error is our bug: the caller learns that, and nothing of its text. */
export function asDomainError(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  return new DomainError("internal", "an internal error", {
    hint: "this is a bug in Claviger; its log has the details under the trace id",
    cause: error,
  });
}

/** The gRPC form of an error: the kind and the hint travel beside the status, as trailers. */
export function toServiceError(error: DomainError): ServiceError {
  const metadata = new Metadata();
  metadata.set("claviger-kind", error.kind);
  if (error.hint !== undefined) metadata.set("claviger-hint-bin", Buffer.from(error.hint, "utf8"));
  if (error.retryAfterSeconds !== undefined) {
    metadata.set("claviger-retry-after", String(error.retryAfterSeconds));
  }
  return Object.assign(new Error(error.message), {
    code: statusOfKind[error.kind],
    details: error.message,
    metadata,
  });
}
