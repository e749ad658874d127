import { resolve } from "node:path";
import type { Command } from "commander";
import { defineCommand } from "../define-command.ts";
import { proofOfShare, runHostProgram, stateEnvironment } from "../host-program.ts";
import { properties, shortIdentity, table } from "../output.ts";

export function register(backup: Command): void {
  const custodians = backup
    .command("custodians")
    .description("who holds the shares of the recovery key, which open a backup together");
  defineCommand(custodians, {
    usage: "list",
    description: "the recovery key in use, its shares, and who said that they hold them",
    examples: ["backup custodians list"],
    async run(session) {
      const claviger = await session.connect();
      const custody = await claviger.backup.getCustody({});
      const { changing, recoveryKey, shares, since, threshold } = custody;
      const facts = {
        recoveryKey,
        since,
        threshold,
        changing,
        shares: shares.map(({ holders, number }) => ({
          number,
          holders: holders.map(({ acknowledgedAt, identity }) => ({ identity, acknowledgedAt })),
        })),
      };
      session.answer(facts, () =>
        [
          properties([
            ["recovery key", recoveryKey],
            ["since", since],
            ["custody", `${threshold} of ${shares.length} shares open it`],
            ["state", changing ? "being changed: run claviger backup custodians change again" : "in use"],
          ]),
          table(
            ["SHARE", "HELD BY", "ACKNOWLEDGED"],
            facts.shares.map(({ holders, number }) => [
              number,
              holders.map(({ identity }) => shortIdentity(identity)).join(", ") || "nobody has said so",
              holders.at(-1)?.acknowledgedAt ?? "",
            ]),
            "",
          ),
        ].join("\n\n"),
      );
    },
  });
  defineCommand<{ share: string }>(custodians, {
    usage: "acknowledge",
    description:
      "formally acknowledge that you hold a share, and that you understand and accept a key custodian's responsibilities (PCI DSS v4.0.1, 3.7.8)",
    examples: ["backup custodians acknowledge --share share-1.txt"],
    options: [["--share <file>", "your share; it stays on this machine", "required"]],
    async run(session, _, { share }) {
      const claviger = await session.connect();
      const answer = await claviger.backup.acknowledgeCustody({ proof: await proofOfShare(resolve(share)) });
      const facts = { recoveryKey: answer.recoveryKey, share: answer.share };
      session.answer(facts, () =>
        [
          `you have acknowledged that you hold share ${facts.share} of recovery key ${facts.recoveryKey}, and that you understand and accept`,
          "your responsibilities as a key custodian (PCI DSS v4.0.1, 3.7.8): to keep it where nobody else finds it, to show it",
          "to nobody, to bring it when a quorum is called, and to report at once when it is lost or may have been seen",
        ].join("\n"),
      );
    },
  });
  defineCommand<{ share: string[]; threshold?: string; shares?: string }>(custodians, {
    usage: "change",
    description:
      "another recovery key with other shares, on the services' host; everything goes on meanwhile",
    examples: [
      "backup custodians change --share share-1.txt --share share-2.txt",
      "backup custodians change --share share-1.txt --share share-2.txt --threshold 3 --shares 5",
    ],
    options: [
      ["--share <file...>", "a share of the recovery key in use; as many as open it", "required"],
      ["--threshold <m>", "how many of the new shares open the new key; as many as now, unless said"],
      ["--shares <n>", "how many new shares there are; as many as now, unless said"],
    ],
    async run(session, _, { share, shares, threshold }) {
      const line = [
        ...share.flatMap((path) => ["--share", resolve(path)]),
        ...(threshold === undefined ? [] : ["--threshold", threshold]),
        ...(shares === undefined ? [] : ["--shares", shares]),
        ...(session.json ? ["--json"] : []),
      ];
      const environment = stateEnvironment(await session.configPath());
      process.exitCode = await runHostProgram("custodians-change", line, environment);
    },
  });
}
