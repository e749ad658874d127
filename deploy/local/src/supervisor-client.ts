import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@claviger/domain-error";
import { ensureDirectory } from "@claviger/owned-files";
import { type Layout, layoutOf } from "./layout.ts";
import { endLeftovers } from "./leftovers.ts";
import { openLog } from "./log-file.ts";
import type { PartName, ServiceName } from "./parts.ts";
import { reachableCommand } from "./reachable.ts";
import type { InstallationEvent } from "./supervisor.ts";
import type { InstallationStatus } from "./supervisor-file.ts";

const stopMillisecondsMax = 10_000;

export type SupervisorMessage =
  | { kind: "event"; part: PartName | undefined; message: string }
  | { kind: "ready"; status: InstallationStatus }
  | { kind: "failed"; message: string; hint: string | undefined; stopped: boolean };

export interface SupervisorRequest {
  clone: string;
  stateDirectory: string;
  /** Left out: what the environment says, else remembered, else the default. */
  basePort?: number | undefined;
  trustDomain?: string | undefined;
  /** More for a service's environment; for tests. */
  serviceEnvironment?: Partial<Record<ServiceName, Record<string, string>>> | undefined;
  /** True: it outlives us. False: it ends when we do, however we end. */
  detached: boolean;
  onEvent: (event: InstallationEvent) => void;
}

export interface SupervisorHandle {
  layout: Layout;
  pid: number;
  /** Resolves when all parts are ready; rejects with the reason when the start failed. */
  ready: Promise<InstallationStatus>;
  /** Resolves with a word on how it ended, once it has. */
  exited: Promise<string>;
  /** Asks it to end in order; asked again, it ends at once. */
  interrupt(): void;
  /** Ends everything and waits for it, ten seconds at most. */
  stop(): Promise<void>;
  /** Lets go of a detached supervisor, so that this process can end. */
  release(): void;
}

/**
 * Starts the supervisor of a state directory as a child process, in a mount namespace where it needs
 * one. The launcher and the tests' global setup both do it this way.
 */
export async function spawnSupervisor(request: SupervisorRequest): Promise<SupervisorHandle> {
  const layout = layoutOf(request.stateDirectory);
  await ensureDirectory(layout.stateDirectory, { mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  await ensureDirectory(layout.logDirectory, { mode: 0o700 });
  const command = reachableCommand({
    clone: request.clone,
    stateDirectory: layout.stateDirectory,
    entry: "deploy/local/src/supervise.ts",
    arguments: request.detached ? ["--detached"] : [],
    environment: environmentFor(request),
  });
  const log = openLog(layout.logFile("supervisor"));
  const child = spawn(command.program, command.arguments, {
    cwd: command.directory,
    env: command.environment,
    stdio: ["ignore", log, log, "ipc"],
    // Out of the terminal's process group: Ctrl-C is for us to pass on.
    detached: true,
  });
  closeSync(log);

  const exited = new Promise<string>((resolve) => {
    child.once("error", (cause) => resolve(`could not be run: ${cause.message}`));
    child.once("exit", (code, name) =>
      resolve(name === null ? `exited with status ${code}` : `ended by ${name}`),
    );
  }).then(async (how) => {
    // Killed, it could not end what it had started.
    await endLeftovers(layout);
    return how;
  });
  const ready = new Promise<InstallationStatus>((resolve, reject) => {
    child.on("message", (message: SupervisorMessage) => {
      if (message.kind === "event") request.onEvent({ part: message.part, message: message.message });
      else if (message.kind === "ready") resolve(message.status);
      else
        reject(
          new DomainError(message.stopped ? "aborted" : "unavailable", message.message, {
            hint: message.hint,
          }),
        );
    });
    void exited.then((how) =>
      reject(new DomainError("unavailable", `the supervisor ${how} before all was ready`)),
    );
  });
  // Whoever only waits for the end is not told of a rejection that nobody heard.
  ready.catch(() => undefined);
  const interrupt = () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
  };
  const stop = async () => {
    interrupt();
    const gone = await Promise.race([
      exited.then(() => true),
      sleep(stopMillisecondsMax, false, { ref: false }),
    ]);
    if (!gone) child.kill("SIGKILL");
    await exited;
  };
  const release = () => {
    if (child.connected) child.disconnect();
    child.unref();
  };
  if (child.pid === undefined) await once(child, "error").catch(() => undefined);
  return { layout, pid: child.pid ?? -1, ready, exited, interrupt, stop, release };
}

function environmentFor(request: SupervisorRequest): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env };
  if (request.basePort !== undefined) environment.CLAVIGER_BASE_PORT = String(request.basePort);
  if (request.trustDomain !== undefined) environment.CLAVIGER_TRUST_DOMAIN = request.trustDomain;
  if (request.serviceEnvironment !== undefined) {
    environment.CLAVIGER_SERVICE_ENVIRONMENT = JSON.stringify(request.serviceEnvironment);
  }
  return environment;
}
