import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { runHostProgram } from "../host-program.ts";

export function register(program: Command): void {
  const backup = program
    .command("backup")
    .description("copies of the whole installation, and their restoring");
  defineCommand<{ out: string }>(backup, {
    usage: "create",
    description: "one encrypted file with everything, which the recovery key's custodians alone can open",
    examples: ["backup create --out claviger.backup"],
    options: [["--out <file>", "where to; it must not be there yet", "required"]],
    async run(session, _, { out }) {
      const line = ["--out", out, "--config", await session.configPath()];
      process.exitCode = await runHostProgram("backup-create", [
        ...line,
        ...(session.json ? ["--json"] : []),
      ]);
    },
  });
  defineCommand<{ in: string; share: string[]; replace?: boolean }>(backup, {
    usage: "restore",
    description: "put a backup into this host's installation, in the place of what is there",
    examples: ["backup restore --in claviger.backup --share share-1.txt --share share-2.txt"],
    options: [
      ["--in <file>", "what backup create wrote", "required"],
      ["--share <file...>", "a custodian's share; as many as open the recovery key", "required"],
      ["--replace", "also where this installation has keys of its own: they are gone then"],
    ],
    async run(session, _, { in: from, replace, share }) {
      const line = ["--in", from, ...share.flatMap((path) => ["--share", path])];
      const flags = [...(replace ? ["--replace"] : []), ...(session.json ? ["--json"] : [])];
      process.exitCode = await runHostProgram("restore", [...line, ...flags]);
    },
  });
}
