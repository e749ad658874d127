import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** `getconf CLK_TCK` on every Linux that Node runs on: one tick is 10 ms. */
const ticksPerSecond = 100;
const quietPollMilliseconds = 200;
const quietPolls = 2;

/** utime + stime of a process with all its threads (proc_pid_stat(5), fields 14 and 15). */
export function processTimeSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The program's name, in parentheses, may hold anything: count from the last one. Field 3 comes next.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [user, system] = [Number(fields[11]), Number(fields[12])];
  if (!Number.isInteger(user) || !Number.isInteger(system))
    throw new Error(`/proc/${pid}/stat is not readable`);
  return (user + system) / ticksPerSecond;
}

/** Waits until a process has finished what it does in the background. @returns whether it did in time */
export async function untilQuiet(pid: number, timeoutMilliseconds: number): Promise<boolean> {
  const ends = performance.now() + timeoutMilliseconds;
  let before = processTimeSeconds(pid);
  for (let quiet = 0; quiet < quietPolls; ) {
    if (performance.now() > ends) return false;
    await sleep(quietPollMilliseconds);
    const now = processTimeSeconds(pid);
    quiet = now - before < 1.5 / ticksPerSecond ? quiet + 1 : 0;
    before = now;
  }
  return true;
}
