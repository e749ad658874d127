import tls from "node:tls";
import { DomainError } from "@claviger/domain-error";
import { describeError, type Logger } from "./logger.ts";

/** Runs from start to stop: what `start` added is ended in reverse order when the process is told to. */
export interface Lifetime {
  onStop(name: string, action: () => PromiseLike<void> | void): void;
}

const stopMilliseconds = 8000;

/**
 * Runs a service until SIGTERM, SIGINT, or the end of standard input where it is a pipe: then whoever
 * started it has died. Whatever nobody caught ends the process; its supervisor starts it anew.
 */
export async function runService(
  logger: Logger,
  start: (lifetime: Lifetime) => Promise<void>,
): Promise<void> {
  // Every TLS context of this process, also those that libraries make (facts: grpc-js has no setting).
  tls.DEFAULT_MIN_VERSION = "TLSv1.3";
  const actions: { name: string; action: () => PromiseLike<void> | void }[] = [];
  let stopping = false;
  const stop = async (why: string, code: number): Promise<void> => {
    if (stopping) return;
    stopping = true;
    logger.info("stopping", { why });
    setTimeout(() => process.exit(code === 0 ? 1 : code), stopMilliseconds).unref();
    for (const { name, action } of actions.reverse()) {
      try {
        await action();
      } catch (error) {
        logger.error("a part did not stop cleanly", { part: name, error: describeError(error) });
      }
    }
    logger.info("stopped");
    process.exit(code);
  };
  process.on("SIGTERM", () => void stop("SIGTERM", 0));
  process.on("SIGINT", () => void stop("SIGINT", 0));
  process.on("uncaughtException", (error) => {
    logger.error("uncaught error", { error: describeError(error) });
    void stop("uncaught error", 1);
  });
  if (process.env.CLAVIGER_STOP_ON_STDIN_END === "1") {
    process.stdin.on("end", () => void stop("the supervisor has gone", 0));
    process.stdin.on("error", () => void stop("the supervisor has gone", 0));
    process.stdin.resume();
  }
  try {
    await start({ onStop: (name, action) => actions.push({ name, action }) });
  } catch (error) {
    logger.error(error instanceof DomainError ? error.message : "cannot start", {
      error: describeError(error),
      hint: error instanceof DomainError ? error.hint : undefined,
    });
    await stop("cannot start", 1);
  }
}
