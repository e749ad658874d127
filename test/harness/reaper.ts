// Waits for the test run to end (its end of our stdin closes) and clears away what it could not: run with
// the directory to remove and the state directory in it. See shared-installation.ts.
import { existsSync, rmSync } from "node:fs";
import { layoutOf, stopInstallation } from "@claviger/local";

const [root, stateDirectory] = process.argv.slice(2);
if (root === undefined || stateDirectory === undefined) throw new Error("usage: reaper.ts ROOT STATE");

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => undefined);
process.stdin.resume();
process.stdin.once("close", () => {
  void clear();
});

async function clear(): Promise<void> {
  if (existsSync(root!)) {
    await stopInstallation(layoutOf(stateDirectory!));
    rmSync(root!, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  process.exit();
}
