import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { exitCodeOfKind } from "../errors.ts";
import { checkHost, type HostReader } from "../host-checks.ts";
import { table } from "../output.ts";

/** Asks nobody: it looks at the host that it runs on, which should be the services' own. */
export function register(parent: Command): void {
  defineCommand(parent, {
    usage: "doctor",
    description: "what of this host could let keys out; exits with 5 where something could",
    examples: ["doctor", "doctor --json"],
    async run(session) {
      const stateDirectory = realpathSync(dirname(await session.configPath()));
      const checks = checkHost(host, stateDirectory);
      session.answer({ checks }, () =>
        table(
          ["CHECK", "STATE", "DETAIL"],
          checks.map(({ detail, name, state }) => [name, state, detail]),
          "nothing was checked",
        ),
      );
      const risks = checks.filter(({ state }) => state === "risk");
      for (const { hint, name } of risks) session.notice(`${name}: ${hint}`);
      if (risks.length > 0) process.exitCode = exitCodeOfKind["failed-precondition"];
    },
  });
}

const host: HostReader = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      return undefined;
    }
  },
};
