import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Layout, layoutOf } from "../layout.ts";
import { endLeftovers } from "../leftovers.ts";
import { isRunning, processStart } from "../process-identity.ts";

/**
 * Where a backup is tried: an installation's directories once more, below its own state directory, with a database
 * server and a token of their own. Nothing else of the installation is touched.
 */
export function scratchLayout(layout: Layout, knownAs: string): Layout {
  return layoutOf(join(layout.stateDirectory, "drill"), { knownAs: join(knownAs, "drill") });
}

function ownerFile(scratch: Layout): string {
  return join(scratch.stateDirectory, "owner.json");
}

/** Whether the process that made it lives, which is not this one. */
function isOwned(scratch: Layout): boolean {
  try {
    const { pid, start } = JSON.parse(readFileSync(ownerFile(scratch), "utf8")) as {
      pid: number;
      start: string;
    };
    return pid !== process.pid && isRunning(pid, start);
  } catch {
    return false;
  }
}

/** Takes the place, after what a drill that was killed had left there is gone. Resolves to false where one runs. */
export async function takeScratch(scratch: Layout): Promise<boolean> {
  if (isOwned(scratch)) return false;
  await sweepScratch(scratch);
  mkdirSync(scratch.stateDirectory, { mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  const owner = { pid: process.pid, start: processStart(process.pid) };
  writeFileSync(ownerFile(scratch), JSON.stringify(owner), { mode: 0o600, flag: "wx" });
  return true;
}

/** Ends its database server, and removes everything. Nothing is done where a drill runs in another process. */
export async function sweepScratch(scratch: Layout): Promise<void> {
  if (!existsSync(scratch.stateDirectory) || isOwned(scratch)) return;
  await endLeftovers(scratch);
  const { socketDirectory } = scratch.postgresql;
  // In /tmp, where its own path would be too long for a socket.
  if (basename(socketDirectory).startsWith("claviger-")) {
    rmSync(socketDirectory, { recursive: true, force: true });
  }
  await rm(scratch.stateDirectory, { recursive: true, force: true, maxRetries: 5 });
}
