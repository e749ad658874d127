import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { runHostProgram } from "../host-program.ts";

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
      const flags = [...(renew ? ["--renew"] : []), ...(session.json ? ["--json"] : [])];
      const environment = acceptToken === undefined ? {} : { CLAVIGER_ACCEPT_TOKEN: acceptToken };
      process.exitCode = await runHostProgram("init", flags, environment);
    },
  });
}
