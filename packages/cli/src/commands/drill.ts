import { resolve } from "node:path";
import { DomainError } from "@claviger/domain-error";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { standardStream, writeOutput } from "../files.ts";
import { runHostProgram, stateEnvironment } from "../host-program.ts";
import { printable, table } from "../output.ts";
import type { Session } from "../session.ts";
import { attestationOf } from "./attest.ts";

interface DrillFlags {
  in?: string;
  share?: string[];
  out?: string;
  every?: boolean;
  list?: boolean;
  report?: string;
}

export function register(backup: Command): void {
  defineCommand<DrillFlags>(backup, {
    usage: "drill",
    description:
      "restore a backup beside the running installation, prove that its keys work, and keep a signed report",
    examples: [
      "backup drill --in claviger.backup --share share-1.txt --share share-2.txt --out drill.json",
      "backup drill --list",
      "backup drill --report 2f0e5c1a-… --out drill.json",
    ],
    options: [
      ["--in <file>", "what backup create wrote"],
      ["--share <file...>", "a custodian's share; as many as open the recovery key"],
      ["--out <file>", "where the signed report goes, with its certificates; it is kept without, too"],
      ["--every", "use every version of every key, not three of those that are alike"],
      ["--list", "the drills that were held, the newest first"],
      ["--report <id>", "the report of one that was held"],
    ],
    async run(session, _, flags) {
      if (flags.list) return list(session);
      if (flags.report !== undefined) return report(session, flags.report, flags.out);
      const { every, in: from, out, share = [] } = flags;
      if (from === undefined || share.length === 0) {
        throw usageError("a drill needs --in and the shares", "claviger backup drill --help shows examples");
      }
      const config = await session.configPath();
      const line = [
        ...["--in", resolve(from), "--config", resolve(config)],
        ...share.flatMap((path) => ["--share", resolve(path)]),
        ...(out === undefined ? [] : ["--out", resolve(out)]),
        ...(every ? ["--every"] : []),
        ...(session.json ? ["--json"] : []),
      ];
      process.exitCode = await runHostProgram("backup-drill", line, stateEnvironment(config));
    },
  });
}

async function list(session: Session): Promise<void> {
  const { drills } = await (await session.connect()).backup.listDrills({});
  const shown = drills.map(({ backupId, begunAt, by, endedAt, id, madeAt, outcome, reason }) => ({
    id,
    backupId,
    madeAt,
    begunAt,
    endedAt,
    outcome,
    reason,
    by,
  }));
  session.answer({ drills: shown }, () =>
    [
      table(
        ["DRILL", "HELD", "OUTCOME", "OF THE BACKUP MADE AT"],
        shown.map(({ begunAt, id, madeAt, outcome }) => [
          id,
          toTheSecond(begunAt),
          outcomeWords(outcome),
          toTheSecond(madeAt),
        ]),
        "no backup was tried yet: claviger backup drill --in F --share A --share B",
      ),
      ...shown.filter(({ reason }) => reason !== "").map(({ id, reason }) => printable(`${id}: ${reason}`)),
    ].join("\n"),
  );
}

function toTheSecond(time: string): string {
  return time.replace(/\.\d+Z$/, "Z");
}

export function outcomeWords(outcome: string): string {
  return outcome === "begun" ? "begun, and not ended" : outcome;
}

async function report(session: Session, id: string, out = standardStream): Promise<void> {
  const claviger = await session.connect();
  const { drills } = await claviger.backup.listDrills({});
  const drill = drills.find((one) => one.id === id);
  if (drill === undefined) {
    throw new DomainError("not-found", `there is no drill ${id}`, {
      hint: "claviger backup drill --list shows which there are",
    });
  }
  if (drill.record.length === 0) {
    throw new DomainError(
      "failed-precondition",
      `that drill has no report: ${drill.reason || "it did not end"}`,
    );
  }
  writeOutput(out, `${JSON.stringify(await attestationOf(claviger, drill), null, 2)}\n`);
  if (out !== standardStream) session.answer({ id, outcome: drill.outcome, out }, () => `wrote it to ${out}`);
}
