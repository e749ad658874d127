// claviger backup restore: puts a backup into the installation of this clone, in the place of what is there.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { createClaviger, writeEndings } from "@claviger/client";
import { DomainError, exitCodeOf } from "@claviger/domain-error";
import type { RestoreFiles } from "./backup/opened.ts";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { reachableCommand } from "./reachable.ts";
import { stopInstallation } from "./stop-installation.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    in: { type: "string" },
    share: { type: "string", multiple: true },
    since: { type: "string", multiple: true },
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
  const file = resolve(flags.in ?? "");
  const shares = (flags.share ?? []).map((path) => resolve(path));
  const since = (flags.since ?? []).map((path) => resolve(path));
  for (const path of [file, ...shares, ...since]) {
    if (!existsSync(path)) throw new DomainError("invalid-argument", `there is no file ${path}`);
  }
  if (!existsSync(layout.stateDirectory)) {
    throw new DomainError("failed-precondition", "there is no installation here to restore into", {
      hint: "npm start -- --detach makes an empty one, with a token of its own",
    });
  }
  const ran = runningInstallation(layout) !== undefined;
  const own = join(layout.stateDirectory, "endings.own");
  rmSync(own, { force: true });
  if (ran) await takeEndings(own);
  const endings = [
    ...since.map((path) => ({ path, given: true })),
    ...(existsSync(own) ? [{ path: own, given: false }] : []),
  ];
  const files: RestoreFiles = { file, shares, endings };
  // While everything still runs: what is refused has changed nothing.
  const refused = await runStep("open", files);
  if (refused !== 0) {
    rmSync(own, { force: true });
    return refused;
  }
  if (ran) {
    const stopped = await stopInstallation(layout);
    if (!flags.json) console.error(`claviger: ${stopped}`);
  }
  const failed = await runStep("restore", files);
  const whole = !existsSync(layout.restoring);
  if (whole) rmSync(own, { force: true });
  if (ran && whole) await startAgain();
  if (failed !== 0) return failed;
  if (flags.json) console.log(JSON.stringify({ restored: files.file, running: ran }));
  else {
    console.log(
      [
        "every key is suspended: what was revoked or destroyed since the backup, and not said here, is not known",
        "look at each, and then: claviger keys enable KEYRING/KEY",
        "identities, certificates and roles: revoke again what was revoked since, and not said here",
      ].join("\n"),
    );
  }
  return 0;
}

/** What the installation that is about to be replaced knows to have been ended. Where it does not say, that is so. */
async function takeEndings(path: string): Promise<void> {
  try {
    using claviger = createClaviger({ config: layout.configurationFile });
    await writeEndings(claviger, path);
  } catch (cause) {
    rmSync(path, { force: true });
    if (!flags.json)
      console.error(`claviger: what was ended here since is not known: ${(cause as Error).message}`);
  }
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
