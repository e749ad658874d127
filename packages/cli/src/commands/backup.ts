import { resolve } from "node:path";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { runHostProgram, stateEnvironment } from "../host-program.ts";
import { register as registerList } from "./backup-list.ts";
import { register as registerPurge } from "./backup-purge.ts";
import { register as registerCustodians } from "./custodians.ts";
import { register as registerDrill } from "./drill.ts";

export function register(program: Command): void {
  const backup = program
    .command("backup")
    .description("copies of the whole installation, and their restoring");
  registerCustodians(backup);
  registerList(backup);
  defineCommand<{ out: string; keepDays?: string }>(backup, {
    usage: "create",
    description: "one encrypted file with everything, which the recovery key's custodians alone can open",
    examples: ["backup create --out claviger.backup"],
    options: [
      ["--out <file>", "where to; it must not be there yet", "required"],
      ["--keep-days <days>", "until when copies may be kept; 90 unless said"],
    ],
    async run(session, _, { keepDays, out }) {
      const config = await session.configPath();
      const line = ["--out", resolve(out), "--config", resolve(config), ...(session.json ? ["--json"] : [])];
      if (keepDays !== undefined) line.push("--keep-days", keepDays);
      process.exitCode = await runHostProgram("backup-create", line, stateEnvironment(config));
    },
  });
  defineCommand<{ out: string }>(backup, {
    usage: "endings",
    description:
      "what was destroyed, revoked and taken back until now, for a restore to end it again: keep it away from here, and anew every day",
    examples: ["backup endings --out endings-$(date +%F).jsonl"],
    options: [["--out <file>", "where to; it must not be there yet", "required"]],
    async run(session, _, { out }) {
      const { writeEndings } = await import("@claviger/client");
      const facts = await writeEndings(await session.connect(), out);
      session.answer(
        { ...facts, out },
        () => `${facts.count} endings until ${facts.takenAt} are in ${out}: backup restore --since ${out}`,
      );
    },
  });
  defineCommand<{ in: string; share: string[]; since?: string[]; replace?: boolean }>(backup, {
    usage: "restore",
    description: "put a backup into this host's installation, in the place of what is there",
    examples: [
      "backup restore --in claviger.backup --share share-1.txt --share share-2.txt",
      "backup restore --in claviger.backup --share share-1.txt --share share-2.txt --since endings.jsonl",
    ],
    options: [
      ["--in <file>", "what backup create wrote", "required"],
      ["--share <file...>", "a custodian's share; as many as open the recovery key", "required"],
      ["--since <file...>", "what was ended since, as backup endings wrote it: it is ended again"],
      ["--replace", "also where this installation has keys of its own: they are gone then"],
    ],
    async run(session, _, { in: from, replace, share, since = [] }) {
      const line = ["--in", resolve(from), ...share.flatMap((path) => ["--share", resolve(path)])];
      line.push(...since.flatMap((path) => ["--since", resolve(path)]));
      const flags = [...(replace ? ["--replace"] : []), ...(session.json ? ["--json"] : [])];
      const environment = stateEnvironment(await session.configPath());
      process.exitCode = await runHostProgram("restore", [...line, ...flags], environment);
    },
  });
  registerDrill(backup);
  registerPurge(backup);
}
