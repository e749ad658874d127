import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { printable, shortIdentity, table } from "../output.ts";
import { outcomeWords } from "./drill.ts";

export function register(backup: Command): void {
  defineCommand(backup, {
    usage: "list",
    description:
      "the backups that were made, until when each is kept, when it was last tried, and copies whose day has come",
    examples: ["backup list"],
    async run(session) {
      const { knownCopies } = await import("@claviger/backup");
      const claviger = await session.connect();
      const { backups } = await claviger.backup.listBackups({});
      const { drills } = await claviger.backup.listDrills({});
      const copies = knownCopies(dirname(await session.configPath()));
      const shown = backups.map(
        ({ expired, expiresAt, id, madeAt, madeBy, manifestDigest, recoveryKey }) => ({
          id,
          madeAt,
          expiresAt,
          expired,
          madeBy,
          recoveryKey,
          manifestSha256: Buffer.from(manifestDigest).toString("hex"),
          // The newest comes first.
          lastDrill: drills.find(({ backupId }) => backupId === id),
          copies: copies
            .filter((copy) => copy.id === id)
            .map(({ path }) => ({ path, there: existsSync(path) })),
        }),
      );
      const facts = shown.map(({ lastDrill, ...rest }) => ({
        ...rest,
        lastDrill:
          lastDrill === undefined
            ? null
            : { id: lastDrill.id, heldAt: lastDrill.begunAt, outcome: lastDrill.outcome },
      }));
      const lastHeld = drills.find(({ outcome }) => outcome === "proved")?.begunAt ?? null;
      session.answer({ backups: facts, lastProvedDrillAt: lastHeld }, () =>
        [
          table(
            ["ID", "MADE", "KEEP UNTIL", "LAST DRILL", "BY"],
            shown.map(({ expired, expiresAt, id, lastDrill, madeAt, madeBy }) => [
              id,
              madeAt.slice(0, 10),
              expired ? `${expiresAt.slice(0, 10)}: over` : expiresAt.slice(0, 10),
              lastDrill === undefined
                ? "never tried"
                : `${outcomeWords(lastDrill.outcome)} ${lastDrill.begunAt.slice(0, 10)}`,
              shortIdentity(madeBy),
            ]),
            "no backup was made yet: claviger backup create --out F",
          ),
          ...shown.filter(({ expired }) => expired).flatMap(overdue),
          ...(shown.length > 0 && lastHeld === null
            ? ["no backup was ever proved to restore: claviger backup drill --in F --share A --share B"]
            : []),
        ].join("\n"),
      );
    },
  });
}

function overdue({ copies, id }: { id: string; copies: { path: string; there: boolean }[] }): string[] {
  const known = copies.filter(({ there }) => there);
  const here = known.length === 0 ? "none is known on this host" : "known here:";
  return [
    `the day of backup ${id} has come: delete every copy of it (claviger backup purge); ${here}`,
    ...known.map(({ path }) => `  ${printable(path)}`),
  ];
}
