// claviger init: makes what an installation has only once, without starting it; or, with --renew, gives
// expired service certificates (and an expired administrator) a new beginning.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { DomainError } from "@claviger/domain-error";
import { ensureDirectory } from "@claviger/owned-files";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { reachableCommand } from "./reachable.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError, readFlags } from "./terminal.ts";

const flags = readFlags({
  command: "claviger init",
  summary: "Makes the HSM token, holds the recovery ceremony, certifies the services. npm start does so too.",
  flags: {
    renew: "certifies all services and the administrator anew: after expiry, or after a key was stolen",
    json: "one JSON document on standard output",
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

try {
  const running = runningInstallation(layout);
  if (running !== undefined) {
    throw new DomainError("failed-precondition", "this installation is running", {
      hint: "npm stop, then claviger init --renew, then npm start",
    });
  }
  await ensureDirectory(layout.stateDirectory, { mode: process.getuid?.() === 0 ? 0o711 : 0o700 });
  const command = reachableCommand({
    clone,
    stateDirectory: layout.stateDirectory,
    entry: "deploy/local/src/init-program.ts",
    arguments: [...flags].filter((flag) => flag !== "help").map((flag) => `--${flag}`),
    environment: process.env,
  });
  const child = spawn(command.program, command.arguments, {
    cwd: command.directory,
    env: command.environment,
    stdio: "inherit",
  });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
} catch (cause) {
  printError(cause);
  process.exitCode = cause instanceof DomainError && cause.kind === "failed-precondition" ? 5 : 6;
}
