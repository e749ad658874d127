// npm run reset: forgets everything that this clone's installation holds, after asking.
import { existsSync, lstatSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { stopInstallation } from "./stop-installation.ts";
import { printError, readFlags } from "./terminal.ts";

const flags = readFlags({
  command: "npm run reset",
  summary: "Ends what runs and removes the state directory: every key, certificate, record and share in it.",
  flags: { yes: "does not ask" },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));
try {
  process.exitCode = await reset();
} catch (cause) {
  printError(cause);
  process.exitCode = 1;
}

async function reset(): Promise<number> {
  const { stateDirectory } = layout;
  if (!existsSync(stateDirectory)) {
    console.log(`claviger: there is nothing to forget: ${stateDirectory} does not exist`);
    return 0;
  }
  // $CLAVIGER_STATE may name anything: what no start has made is not ours to remove.
  if (
    !lstatSync(stateDirectory).isDirectory() ||
    !(existsSync(layout.logDirectory) || existsSync(layout.settingsFile))
  ) {
    console.error(`error: ${stateDirectory} is no state directory of Claviger, and was left alone`);
    console.error("hint: correct CLAVIGER_STATE, or remove it by hand");
    return 2;
  }
  if (!flags.has("yes") && !(await confirmed(stateDirectory))) return 2;
  console.log(`claviger: ${await stopInstallation(layout)}`);
  await rm(stateDirectory, { recursive: true, force: true });
  const { socketDirectory } = layout.postgresql;
  if (!socketDirectory.startsWith(stateDirectory))
    await rm(socketDirectory, { recursive: true, force: true });
  console.log(`claviger: ${stateDirectory} is gone; the next npm start is a first start`);
  return 0;
}

async function confirmed(stateDirectory: string): Promise<boolean> {
  if (!process.stdin.isTTY) {
    console.error(
      `error: this would remove ${stateDirectory} with every key in it, and there is nobody to ask`,
    );
    console.error("hint: npm run reset -- --yes");
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(
    `Remove ${stateDirectory} with every key in it? This cannot be undone. [y/N] `,
  );
  terminal.close();
  if (/^y(es)?$/i.test(answer.trim())) return true;
  console.error("claviger: nothing was removed");
  return false;
}
