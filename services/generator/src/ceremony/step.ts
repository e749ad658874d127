import { exitCodeOf, isDomainError } from "@claviger/domain-error";

const lookMilliseconds = 500;

/** Says why a program of the host's ends, for whoever ran it to read. */
export function refuse(error: unknown): void {
  process.stderr.write(`error: ${(error as Error).message}\n`);
  if (isDomainError(error)) process.stderr.write(`kind: ${error.kind}\n`);
  if (isDomainError(error) && error.hint !== undefined) process.stderr.write(`hint: ${error.hint}\n`);
  process.exitCode = exitCodeOf(error);
}

/** Whoever ran this was killed: what is in this memory is of no use to anybody, and goes. */
export function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, lookMilliseconds).unref();
}
