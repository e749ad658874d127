// npm stop: ends the installation of this clone, and waits until all of it is gone.
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { stopInstallation } from "./stop-installation.ts";
import { printError, readFlags } from "./terminal.ts";

readFlags({
  command: "npm stop",
  summary: "Ends the five services, NATS and PostgreSQL, in this order, and waits until they are gone.",
  flags: {},
  notes: "What they hold stays in .claviger/ (or $CLAVIGER_STATE).",
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
try {
  console.log(`claviger: ${await stopInstallation(layoutOf(stateDirectoryOf(clone, process.env)))}`);
} catch (cause) {
  printError(cause);
  process.exitCode = 1;
}
