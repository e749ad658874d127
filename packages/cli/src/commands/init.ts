import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";

const clone = resolve(import.meta.dirname, "../../../..");
const program = join("deploy", "local", "src", "init.ts");

/** The ceremony is another process's: PIN and recovery shares never enter this one. */
export function register(parent: Command): void {
  defineCommand<{ renew?: boolean; acceptToken?: string }>(parent, {
    usage: "init",
    description: "make what an installation has only once: token, recovery ceremony, certificates",
    examples: ["init", "init --renew"],
    options: [
      ["--renew", "mend the services' expired certificates, on their host"],
      ["--accept-token <serial>", "use this HSM token in the place of the one that the ceremony made"],
    ],
    async run(session, _, { acceptToken, renew }) {
      if (!existsSync(join(clone, program))) {
        throw new DomainError("failed-precondition", "this machine has no clone of Claviger to initialise", {
          hint: "run it on the services' host, in the clone",
        });
      }
      const flags = [...(renew ? ["--renew"] : []), ...(session.json ? ["--json"] : [])];
      process.exitCode = await passThrough([join(clone, program), ...flags], {
        ...process.env,
        ...(acceptToken === undefined ? {} : { CLAVIGER_ACCEPT_TOKEN: acceptToken }),
      });
    },
  });
}

/** Runs Node with this terminal; Ctrl-C reaches the child too, and it decides. */
function passThrough(line: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const ignore = (): void => undefined;
  process.removeAllListeners("SIGINT");
  process.on("SIGINT", ignore);
  return new Promise((resolvePromise, reject) => {
    const child = spawn(process.execPath, line, { stdio: "inherit", env });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      process.off("SIGINT", ignore);
      resolvePromise(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
