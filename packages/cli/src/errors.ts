import { DomainError, exitCodeOfKind } from "@claviger/domain-error";
import { CommanderError } from "commander";

export { exitCodeOfKind };

/** Bad usage: exit 2. */
export function usageError(message: string, hint?: string, cause?: unknown): DomainError {
  return new DomainError("invalid-argument", message, { hint, cause });
}

/** A refusal as it is; a mistake on the line as bad usage; the rest is our bug, and says so. */
export function asDomainError(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  if (error instanceof CommanderError) return fromCommander(error);
  const what = error instanceof Error ? error.message : String(error);
  return new DomainError("internal", what, {
    hint: "this is a bug in Claviger: please report it",
    cause: error,
  });
}

/** Commander puts its suggestion behind the message, in brackets. */
function fromCommander(error: CommanderError): DomainError {
  const match = /^(?:error: )?([^\n]*)(?:\n\((.*)\))?/.exec(error.message);
  const suggestion = match?.[2];
  return usageError(
    match?.[1] ?? error.message,
    suggestion === undefined ? "claviger --help shows every command" : decapitalise(suggestion),
  );
}

function decapitalise(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
