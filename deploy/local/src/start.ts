// npm start: starts the installation of this clone, and stays until Ctrl-C (or leaves it, with --detach).
import { setTimeout as sleep } from "node:timers/promises";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { readSettings, writeSettings } from "./local-settings.ts";
import { lastLines } from "./log-file.ts";
import { unfinishedRestore } from "./restoring.ts";
import { type SupervisorHandle, spawnSupervisor } from "./supervisor-client.ts";
import { readSupervisorFile, runningInstallation } from "./supervisor-file.ts";
import { printError, readFlags } from "./terminal.ts";
import { nextSteps, runTour } from "./tour.ts";

const flags = readFlags({
  command: "npm start",
  summary: "Starts PostgreSQL, NATS, the HSM's token and the five services, and runs until Ctrl-C.",
  flags: {
    detach: "returns when all is ready; npm stop ends it",
    "no-tour": "skips the tour that the first start takes",
  },
  notes: [
    "CLAVIGER_STATE         the state directory (default: .claviger in the clone)",
    "CLAVIGER_BASE_PORT     the first port of the block (default: 7400, or the next free block)",
    "CLAVIGER_TRUST_DOMAIN  of the first start (default: claviger.internal)",
    "CLAVIGER_PKCS11_MODULE the HSM's library (default: SoftHSM)",
  ].join("\n"),
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

try {
  process.exitCode = await start();
} catch (cause) {
  printError(cause);
  process.exitCode = 6;
}

async function start(): Promise<number> {
  const running = runningInstallation(layout);
  if (running !== undefined) {
    console.log(`claviger is running already (${running.state}, process ${running.pid}); npm stop ends it`);
    return 0;
  }
  const unfinished = unfinishedRestore(layout);
  if (unfinished !== undefined) {
    console.error(`error: a restore of backup ${unfinished} was begun here and not ended`);
    console.error("hint: run it again: npx claviger backup restore --in F --share FILE --share FILE");
    return 5;
  }
  const began = performance.now();
  const supervisor = await spawnSupervisor({
    clone,
    stateDirectory: layout.stateDirectory,
    detached: flags.has("detach"),
    onEvent: ({ part, message }) =>
      console.error(`claviger: ${part === undefined ? "" : `${part} `}${message}`),
  });
  const interrupted = passOnSignals(supervisor);
  try {
    await supervisor.ready;
  } catch (cause) {
    await supervisor.exited;
    if (interrupted()) return 130;
    printFailedParts();
    printError(cause);
    return 6;
  }
  console.error(`claviger: all parts are ready after ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  await greet(interrupted);
  if (flags.has("detach") && !interrupted()) {
    supervisor.release();
    return 0;
  }
  if (!interrupted()) console.error("claviger: running until Ctrl-C");
  const how = await supervisor.exited;
  if (interrupted()) return 0;
  const asked = how === "exited with status 0";
  console.error(
    asked ? "claviger: stopped" : `error: the supervisor ${how}; its log is ${layout.logFile("supervisor")}`,
  );
  return asked ? 0 : 1;
}

/** Ctrl-C and kill reach us alone: the first asks for an orderly end, the next ones for an immediate one. */
function passOnSignals(supervisor: SupervisorHandle): () => boolean {
  let count = 0;
  const onSignal = () => {
    count++;
    if (count === 1) console.error("claviger: stopping (Ctrl-C again ends it at once)");
    supervisor.interrupt();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  return () => count > 0;
}

/** The first start takes a key through its life before your eyes; every start says what to type next. */
async function greet(interrupted: () => boolean): Promise<void> {
  const settings = await readSettings(layout);
  if (settings !== undefined && settings.firstReadyAt === undefined) {
    await writeSettings(layout, { ...settings, firstReadyAt: new Date().toISOString() });
    if (!flags.has("no-tour")) await runTour({ clone, stateDirectory: layout.stateDirectory, interrupted });
  }
  if (!interrupted()) console.log(nextSteps);
  // Lets the last lines of the tour reach the terminal before anything else is said.
  await sleep(0);
}

function printFailedParts(): void {
  const failed = readSupervisorFile(layout)?.parts.filter(({ state }) => state === "failed") ?? [];
  for (const { name } of failed) {
    console.error(`claviger: the last lines of ${layout.logFile(name)}:`);
    for (const line of lastLines(layout.logFile(name))) console.error(`  ${line}`);
  }
}
