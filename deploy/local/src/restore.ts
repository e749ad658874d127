// claviger backup restore: puts a backup into the installation of this clone, in the place of what is there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { reachableCommand } from "./reachable.ts";
import { stopInstallation } from "./stop-installation.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    in: { type: "string" },
    share: { type: "string", multiple: true },
    replace: { type: "boolean" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

try {
  process.exitCode = await restore();
} catch (cause) {
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}

async function restore(): Promise<number> {
  const files = { file: resolve(flags.in ?? ""), shares: (flags.share ?? []).map((path) => resolve(path)) };
  for (const path of [files.file, ...files.shares]) {
    if (!existsSync(path)) throw new DomainError("invalid-argument", `there is no file ${path}`);
  }
  if (!existsSync(layout.stateDirectory)) {
    throw new DomainError("failed-precondition", "there is no installation here to restore into", {
      hint: "npm start -- --detach makes an empty one, with a token of its own",
    });
  }
  // While everything still runs: what is refused has changed nothing.
  const refused = await runStep("open", files);
  if (refused !== 0) return refused;
  const ran = runningInstallation(layout) !== undefined;
  if (ran) {
    const stopped = await stopInstallation(layout);
    if (!flags.json) console.error(`claviger: ${stopped}`);
  }
  const failed = await runStep("restore", files);
  const whole = !existsSync(layout.restoring);
  if (ran && whole) await startAgain();
  if (failed !== 0) return failed;
  if (flags.json) console.log(JSON.stringify({ restored: files.file, running: ran }));
  else {
    console.log(
      [
        "every key is suspended: what was revoked or destroyed since the backup is not known here",
        "look at each, and then: claviger keys enable KEYRING/KEY",
        "identities, certificates and roles are as they were then: revoke again what was revoked since",
      ].join("\n"),
    );
  }
  return 0;
}

async function runStep(step: "open" | "restore", files: object): Promise<number> {
  const command = reachableCommand({
    clone,
    stateDirectory: layout.stateDirectory,
    entry: "deploy/local/src/restore-program.ts",
    arguments: [
      ...["--step", step],
      ...(flags.replace ? ["--replace"] : []),
      ...(flags.json ? ["--json"] : []),
    ],
    environment: { ...process.env, CLAVIGER_RESTORE_FILES: JSON.stringify(files) },
  });
  return ended(
    spawn(command.program, command.arguments, {
      cwd: command.directory,
      env: command.environment,
      stdio: "inherit",
    }),
  );
}

async function startAgain(): Promise<void> {
  const start = join(clone, "deploy/local/src/start.ts");
  const code = await ended(
    spawn(process.execPath, [start, "--detach", "--no-tour"], { stdio: ["ignore", "ignore", 2] }),
  );
  if (code !== 0)
    throw new DomainError("unavailable", "the restored installation did not start", {
      hint: "npm start says why",
    });
}

async function ended(child: ReturnType<typeof spawn>): Promise<number> {
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}
