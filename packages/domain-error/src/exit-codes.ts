import { type ErrorKind, isDomainError } from "./index.ts";

/** What a program that ends with an error tells its caller: the command line's contract. */
export const exitCodeOfKind = {
  "invalid-argument": 2,
  "not-found": 3,
  denied: 4,
  unauthenticated: 4,
  "already-exists": 5,
  "failed-precondition": 5,
  integrity: 5,
  aborted: 5,
  exhausted: 5,
  unavailable: 6,
  "deadline-exceeded": 6,
  internal: 1,
} as const satisfies Record<ErrorKind, number>;

export function exitCodeOf(error: unknown): number {
  return exitCodeOfKind[isDomainError(error) ? error.kind : "internal"];
}
