// Waits for the test run to end (its end of our stdin closes) and clears away what it could not: run with
// the directory to remove and the state directory in it; stdin tells the supervisor's process id. See
// shared-installation.ts.
import { existsSync, rmSync } from "node:fs";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { layoutOf, stopInstallation } from "@claviger/local";

const supervisorMillisecondsMax = 15_000;
const pollMilliseconds = 50;
/** Time for what was about to be written when its writer was killed. */
const settleMilliseconds = 500;
const roundsMax = 10;

const [root, stateDirectory] = process.argv.slice(2);
if (root === undefined || stateDirectory === undefined) throw new Error("usage: reaper.ts ROOT STATE");

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => undefined);
const supervisor = Number.parseInt(await text(process.stdin), 10);
for (let round = 0; existsSync(root) && round < roundsMax; round += 1) {
  await waitForEnd(supervisor);
  await stopInstallation(layoutOf(stateDirectory));
  rmSync(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  await sleep(settleMilliseconds);
}

/** It ends by itself when its starter is gone, but a start under way takes it a moment. */
async function waitForEnd(pid: number): Promise<void> {
  const began = performance.now();
  while (lives(pid) && performance.now() - began < supervisorMillisecondsMax) await sleep(pollMilliseconds);
}

function lives(pid: number): boolean {
  try {
    return pid > 1 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
