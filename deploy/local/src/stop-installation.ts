// Without packages from npm: stopping and forgetting work in a clone that has none any more.
import { setTimeout as sleep } from "node:timers/promises";
import { scratchLayout, sweepScratch } from "./backup/scratch.ts";
import type { Layout } from "./layout.ts";
import { endLeftovers } from "./leftovers.ts";
import { isRunning, signal } from "./process-identity.ts";
import { runningInstallation } from "./supervisor-file.ts";

/** The supervisor gives its parts nine seconds; past this it is killed, and they are ended here. */
const stopMilliseconds = 9_500;
const pollMilliseconds = 25;

/** Ends what runs of an installation, and says in one sentence what that was. */
export async function stopInstallation(layout: Layout): Promise<string> {
  // Of a drill that was killed; one that runs clears away by itself.
  await sweepScratch(scratchLayout(layout, layout.stateDirectory));
  const began = performance.now();
  const running = runningInstallation(layout);
  if (running === undefined) {
    const ended = await endLeftovers(layout);
    return ended.length === 0
      ? "nothing is running"
      : `the supervisor was gone; ended what it had left running: ${ended.join(", ")}`;
  }
  signal(running.pid, "SIGTERM");
  const lives = () => isRunning(running.pid, running.processStart);
  while (lives() && performance.now() - began < stopMilliseconds) await sleep(pollMilliseconds);
  const hung = lives();
  if (hung) signal(running.pid, "SIGKILL");
  const ended = await endLeftovers(layout, hung ? 250 : 1_000);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  const parts = running.parts.filter(({ pid }) => pid !== undefined).map(({ name }) => name);
  if (hung)
    return `the supervisor did not end and was killed after ${seconds} s, with ${ended.join(", ") || "no part left"}`;
  return `stopped ${parts.toReversed().join(", ") || "a start that had no part yet"} in ${seconds} s`;
}
