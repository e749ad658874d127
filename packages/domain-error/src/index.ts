export { exitCodeOf, exitCodeOfKind } from "./exit-codes.ts";

/** Every way in which Claviger refuses. The set is closed: maps over it are total. */
export const errorKinds = [
  "invalid-argument",
  "not-found",
  "already-exists",
  "unauthenticated",
  "denied",
  "failed-precondition",
  "integrity",
  "exhausted",
  "aborted",
  "unavailable",
  "deadline-exceeded",
  "internal",
] as const;

export type ErrorKind = (typeof errorKinds)[number];

export interface DomainErrorOptions {
  /** What the reader can do about it, as one sentence. */
  hint?: string | undefined;
  cause?: unknown;
  /** When it is worth while to ask again. */
  retryAfterSeconds?: number | undefined;
}

/**
 * A refusal that is meant: its kind decides the gRPC status and the exit code, its message and hint
 * reach the caller. Never put a secret in either.
 */
export class DomainError extends Error {
  readonly kind: ErrorKind;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(kind: ErrorKind, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "DomainError";
    this.kind = kind;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export function isDomainError(value: unknown, kind?: ErrorKind): value is DomainError {
  return value instanceof DomainError && (kind === undefined || value.kind === kind);
}

export function isErrorKind(value: string): value is ErrorKind {
  return (errorKinds as readonly string[]).includes(value);
}
