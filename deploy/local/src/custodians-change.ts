// claviger backup custodians change: another recovery key, with other shares, while everything goes on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { reachableCommand } from "./reachable.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    share: { type: "string", multiple: true },
    threshold: { type: "string" },
    shares: { type: "string" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

try {
  const shares = (flags.share ?? []).map((path) => resolve(path));
  for (const path of shares) {
    if (!existsSync(path)) throw new DomainError("invalid-argument", `there is no file ${path}`);
  }
  for (const name of ["threshold", "shares"] as const) {
    if (flags[name] === undefined || /^([2-9]|1[0-6])$/.test(flags[name])) continue;
    throw new DomainError(
      "invalid-argument",
      `--${name} is ${flags[name]}, and must be a number from 2 to 16`,
    );
  }
  if (runningInstallation(layout) === undefined) {
    throw new DomainError("failed-precondition", "no installation runs on this host", {
      hint: "npm start, then the same command again",
    });
  }
  const command = reachableCommand({
    clone,
    stateDirectory: layout.stateDirectory,
    entry: "deploy/local/src/custodians-program.ts",
    arguments: [
      ...(flags.threshold === undefined ? [] : ["--threshold", flags.threshold]),
      ...(flags.shares === undefined ? [] : ["--shares", flags.shares]),
      ...(flags.json ? ["--json"] : []),
    ],
    environment: { ...process.env, CLAVIGER_GIVEN_SHARE_FILES: JSON.stringify(shares) },
  });
  const child = spawn(command.program, command.arguments, {
    cwd: command.directory,
    env: command.environment,
    stdio: "inherit",
  });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
} catch (cause) {
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}
