// The supervisor's program: started by supervisor-client.ts, never by hand. It holds the installation of
// one state directory until it is told to stop, and tells whoever started it (IPC) what happens.
import { statSync } from "node:fs";
import { createServer } from "node:net";
import { parseArgs } from "node:util";
import { completeBootstrap, initialise } from "@claviger/bootstrap";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { basePortFrom } from "./ports.ts";
import { type Installation, type InstallationEvent, startInstallation } from "./supervisor.ts";
import type { SupervisorMessage } from "./supervisor-client.ts";

const { values: flags } = parseArgs({
  options: {
    state: { type: "string" },
    "known-as": { type: "string" },
    detached: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const aborting = new AbortController();
let installation: Installation | undefined;
let ending = false;

function tell(message: SupervisorMessage): void {
  if (process.connected) process.send?.(message, () => undefined);
}

function onEvent({ part, message }: InstallationEvent): void {
  console.error(`${new Date().toISOString()} ${part ?? "supervisor"}: ${message}`);
  tell({ kind: "event", part, message });
}

async function end(status: number): Promise<never> {
  ending = true;
  await installation?.stop();
  onEvent({ part: undefined, message: "stopped" });
  process.exit(status);
}

/** The first request ends everything in order, the second at once. */
function onStopRequest(): void {
  if (ending) {
    // What a start had not finished has no handle here: its starter ends it, from the pid files.
    installation?.kill();
    onEvent({ part: undefined, message: "ended at once" });
    process.exit(130);
  }
  ending = true;
  if (installation === undefined) aborting.abort(new DomainError("aborted", "the start was stopped"));
  else void end(0);
}

/**
 * Two supervisors of one state directory would ruin it. A name in Linux's abstract socket namespace can
 * be bound once, and is free again the moment that its holder is gone, however it went.
 */
async function holdAlone(stateDirectory: string): Promise<void> {
  const { dev, ino } = statSync(stateDirectory);
  const server = createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(
        new DomainError("failed-precondition", "another start for this state directory is under way", {
          hint: "wait for it, or npm stop",
          cause,
        }),
      );
    });
    server.listen(`\0claviger-supervisor-${dev}-${ino}`, resolve);
  });
}

process.on("SIGTERM", onStopRequest);
process.on("SIGINT", onStopRequest);
process.on("SIGHUP", onStopRequest);
process.on("disconnect", () => {
  if (flags.detached !== true && !ending) onStopRequest();
});

try {
  const stateDirectory = flags.state ?? "";
  await holdAlone(stateDirectory);
  installation = await startInstallation({
    clone,
    stateDirectory,
    knownAs: flags["known-as"],
    basePort: basePortFrom(process.env),
    trustDomain: process.env.CLAVIGER_TRUST_DOMAIN || undefined,
    bootstrap: initialise,
    completeBootstrap,
    natsServer: process.env.CLAVIGER_NATS_SERVER || "nats-server",
    environment: JSON.parse(process.env.CLAVIGER_SERVICE_ENVIRONMENT || "{}"),
    onEvent,
    signal: aborting.signal,
  });
  tell({ kind: "ready", status: installation.status() });
  if (ending) await end(0);
} catch (cause) {
  const message = cause instanceof Error ? cause.message : String(cause);
  console.error(cause);
  tell({
    kind: "failed",
    message,
    hint: isDomainError(cause) ? cause.hint : undefined,
    stopped: aborting.signal.aborted,
  });
  process.exitCode = aborting.signal.aborted ? 130 : 1;
  if (process.connected) process.disconnect();
  // Whatever still holds the event loop is no reason to stay.
  setTimeout(() => process.exit(), 500).unref();
}
