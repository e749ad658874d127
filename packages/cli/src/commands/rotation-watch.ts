import type { Claviger } from "@claviger/client";
import type { Command } from "commander";
import { parseKeyReference } from "../arguments.ts";
import { defineCommand } from "../define-command.ts";
import { asDomainError } from "../errors.ts";
import type { Session } from "../session.ts";

/** A stream that ends sooner than this was never one: what ended it is the user's to know. */
const settledMilliseconds = 3_000;
const pauseMilliseconds = 1_000;

export function registerWatch(rotation: Command): void {
  defineCommand(rotation, {
    usage: "watch [keyring/key]",
    description: "print each rotation that this identity subscribed to, a CloudEvent a line, until Ctrl-C",
    examples: ["rotation watch", "rotation watch payments/cards"],
    async run(session, positional) {
      const name = positional[0] === undefined ? "" : parseKeyReference(positional[0], "none").name;
      const claviger = await session.connect();
      const interrupted = new AbortController();
      process.removeAllListeners("SIGINT");
      process.once("SIGINT", () => interrupted.abort());
      session.notice("waiting for rotations; Ctrl-C ends this");
      await watch({ session, claviger, name, signal: interrupted.signal });
    },
  });
}

interface Watch {
  session: Session;
  claviger: Claviger;
  name: string;
  signal: AbortSignal;
}

/** A service that restarts, or ends an idle stream, is asked again: what was missed comes first then. */
async function watch({ session, claviger, name, signal }: Watch): Promise<void> {
  const printed = new Set<string>();
  while (!signal.aborted) {
    const since = Date.now();
    try {
      for await (const event of claviger.subscriptions.watchRotations({ name }, { signal })) {
        const about = `${event.name}@${event.version}`;
        if (printed.has(about)) continue;
        printed.add(about);
        process.stdout.write(`${event.cloudEvent}\n`);
      }
    } catch (error) {
      const refusal = asDomainError(error);
      const settled = printed.size > 0 || Date.now() - since > settledMilliseconds;
      if (!settled || !["unavailable", "deadline-exceeded"].includes(refusal.kind)) throw refusal;
      session.notice(`${refusal.message}; asking again`);
    }
    if (!signal.aborted) await pause(signal);
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, pauseMilliseconds);
    signal.addEventListener("abort", done, { once: true });
  });
}
