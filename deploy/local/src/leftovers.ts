import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Layout } from "./layout.ts";
import { isRunning, processStart, runsIn, signal } from "./process-identity.ts";
import { readSupervisorFile, runningInstallation } from "./supervisor-file.ts";

const pollMilliseconds = 25;

interface Leftover {
  name: string;
  pid: number;
  start: string | undefined;
}

/** Processes of this installation whose supervisor is gone: it was killed, say. None while it lives. */
export function findLeftovers(layout: Layout): Leftover[] {
  const running = runningInstallation(layout);
  if (running !== undefined && running.pid !== process.pid) return [];
  const found = new Map<number, Leftover>();
  for (const part of readSupervisorFile(layout)?.parts ?? []) {
    if (part.pid !== undefined && part.processStart !== undefined && isRunning(part.pid, part.processStart)) {
      found.set(part.pid, { name: part.name, pid: part.pid, start: part.processStart });
    }
  }
  // The two that do not notice that their supervisor died keep pid files of their own: these also
  // find what was started after the supervisor last wrote its status.
  const { postgresql, nats } = layout;
  for (const [name, pidFile, program, directory] of [
    ["postgresql", postgresql.pidFile, "postgres", postgresql.data],
    ["nats", nats.pidFile, "nats-server", nats.directory],
  ] as const) {
    const pid = firstNumber(pidFile);
    if (pid !== undefined && runsIn(pid, program, directory))
      found.set(pid, { name, pid, start: processStart(pid) });
  }
  return [...found.values()];
}

/** Ends what {@link findLeftovers} finds, and waits until it is gone. Returns the names of what it ended. */
export async function endLeftovers(layout: Layout, graceMilliseconds = 3_000): Promise<string[]> {
  const leftovers = findLeftovers(layout);
  for (const { name, pid } of leftovers) signal(pid, name === "postgresql" ? "SIGINT" : "SIGTERM");
  const deadline = performance.now() + graceMilliseconds;
  const remaining = () => leftovers.filter(({ pid, start }) => isRunning(pid, start));
  while (remaining().length > 0 && performance.now() < deadline) await sleep(pollMilliseconds);
  for (const { pid } of remaining()) signal(pid, "SIGKILL");
  while (remaining().length > 0 && performance.now() < deadline + 1_000) await sleep(pollMilliseconds);
  return leftovers.map(({ name }) => name);
}

function firstNumber(path: string): number | undefined {
  try {
    const value = Number.parseInt(readFileSync(path, "utf8"), 10);
    return Number.isSafeInteger(value) && value > 1 ? value : undefined;
  } catch {
    return undefined;
  }
}
