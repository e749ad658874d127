import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Layout } from "./layout.ts";
import type { PartName } from "./parts.ts";
import { isRunning } from "./process-identity.ts";

export type InstallationState = "starting" | "ready" | "stopping";
export type PartState = "waiting" | "starting" | "ready" | "restarting" | "stopped" | "failed";

export interface PartStatus {
  name: PartName;
  pid: number | undefined;
  /** With the pid, names one process for good: see process-identity.ts. */
  processStart: string | undefined;
  state: PartState;
  restarts: number;
  lastExit: string | undefined;
}

/** What run/supervisor.json holds. */
export interface InstallationStatus {
  pid: number;
  processStart: string | undefined;
  startedAt: string;
  state: InstallationState;
  basePort: number;
  parts: PartStatus[];
}

export function writeSupervisorFile(layout: Layout, status: InstallationStatus): void {
  const temporary = `${layout.run.supervisor}.new`;
  writeFileSync(temporary, `${JSON.stringify(status, undefined, 2)}\n`, { mode: 0o644 });
  renameSync(temporary, layout.run.supervisor);
}

/** The last written status, whether or not its supervisor still lives. */
export function readSupervisorFile(layout: Layout): InstallationStatus | undefined {
  try {
    return JSON.parse(readFileSync(layout.run.supervisor, "utf8")) as InstallationStatus;
  } catch {
    return undefined;
  }
}

/** The status of an installation whose supervisor lives, or undefined. */
export function runningInstallation(layout: Layout): InstallationStatus | undefined {
  const status = readSupervisorFile(layout);
  return status !== undefined && isRunning(status.pid, status.processStart) ? status : undefined;
}
