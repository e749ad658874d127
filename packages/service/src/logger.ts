export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One JSON object a line: a constant message and fields. Never a secret. */
export interface Logger {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export function createLogger(service: string): Logger {
  const write = (level: string, message: string, fields: LogFields = {}): void => {
    process.stdout.write(
      `${JSON.stringify({ time: new Date().toISOString(), level, service, message, ...fields })}\n`,
    );
  };
  return {
    info: (message, fields) => write("info", message, fields),
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
  };
}

/** The same trouble is logged once in a while, not once for each time that it is met. */
export function limitedWarnings(logger: Logger, everyMilliseconds = 5000): (what: string) => void {
  const last = new Map<string, number>();
  return (what) => {
    const now = performance.now();
    if (now - (last.get(what) ?? Number.NEGATIVE_INFINITY) < everyMilliseconds) return;
    if (last.size > 1000) last.clear();
    last.set(what, now);
    logger.warn("trouble", { what });
  };
}

/** An error with its causes, for the log alone: a caller never sees this. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at = error, depth = 0; at !== undefined && depth < 5; depth += 1) {
    parts.push(at instanceof Error ? (at.stack ?? at.message) : String(at));
    at = (at as { cause?: unknown } | null)?.cause;
  }
  return parts.join("\ncaused by: ");
}
