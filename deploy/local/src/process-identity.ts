import { readFileSync, statSync } from "node:fs";

/**
 * When a process began, in clock ticks since boot (proc(5), stat, field 22). Together with its id this
 * names one process: an id alone may have been given to another since. Undefined when it is gone.
 */
export function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the program's name in parentheses, and may hold spaces and parentheses itself.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function isRunning(pid: number, start: string | undefined): boolean {
  const now = processStart(pid);
  return now !== undefined && (start === undefined || now === start);
}

/** True when process `pid` runs this program with this directory as its working directory. */
export function runsIn(pid: number, program: string, directory: string): boolean {
  try {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    if (!commandLine.split("\0")[0]?.endsWith(program)) return false;
    // Compared by inode: in a mount namespace the same directory has another path.
    const there = statSync(`/proc/${pid}/cwd`);
    const here = statSync(directory);
    return there.dev === here.dev && there.ino === here.ino;
  } catch {
    return false;
  }
}

/** Sends a signal; false when the process is gone already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw cause;
  }
}
