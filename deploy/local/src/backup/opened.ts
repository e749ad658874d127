import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { BackupManifest, SectionHead } from "@claviger/backup";
import { DomainError, exitCodeOfKind } from "@claviger/domain-error";
import type { Account } from "@claviger/owned-files";
import type { Layout } from "../layout.ts";
import { tokenEnvironment } from "../services.ts";

export interface RestoreFiles {
  file: string;
  shares: readonly string[];
}

export type Opened = BackupManifest & { tables: SectionHead[]; recoveryKey: string };

const program = "services/generator/src/ceremony/restore.ts";

/** Where the generator's program leaves what a backup holds. */
export function openedDirectory(layout: Layout): string {
  return join(layout.serviceDirectory("generator"), "restore");
}

/**
 * Runs a step of the generator's program under its uid. It gets the files open, since they are whoever's who
 * restores, and their content passes no other process.
 * @throws DomainError with what the program said
 */
export async function runRestoreStep<Answer>(
  step: "open" | "token",
  options: { layout: Layout; clone: string; account: Account | undefined; files: RestoreFiles },
): Promise<Answer> {
  const { account, clone, files, layout } = options;
  const opened: number[] = [];
  try {
    const input = step === "open" ? openFile(files.file, opened) : ("ignore" as const);
    const shares = files.shares.map((path) => openFile(path, opened));
    const child = spawn(
      "/bin/sh",
      ["-c", 'ulimit -c 0; exec "$@"', "sh", process.execPath, join(clone, program)],
      {
        cwd: "/",
        env: {
          PATH: "/usr/bin:/bin",
          CLAVIGER_DIRECTORY: layout.serviceDirectory("generator"),
          CLAVIGER_RESTORE_STEP: step,
          CLAVIGER_RESTORE_SHARES: String(shares.length),
          ...tokenEnvironment(layout),
        },
        stdio: [input, "pipe", "pipe", ...shares],
        ...(account === undefined ? {} : account),
      },
    );
    const exited = once(child, "exit") as Promise<[number | null]>;
    const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), exited]);
    if (code !== 0) throw refusal(code, err);
    return JSON.parse(out) as Answer;
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

function openFile(path: string, opened: number[]): number {
  try {
    const descriptor = openSync(path, "r");
    opened.push(descriptor);
    return descriptor;
  } catch (cause) {
    throw new DomainError("invalid-argument", `${path} cannot be read`, { cause });
  }
}

function refusal(code: number | null, said: string): DomainError {
  const message =
    /^error: (.*)$/m.exec(said)?.[1] ?? `the generator's program ended with ${code}: ${said.slice(-500)}`;
  const hint = /^hint: (.*)$/m.exec(said)?.[1];
  const refused =
    code === exitCodeOfKind["failed-precondition"] || code === exitCodeOfKind["invalid-argument"];
  return new DomainError(refused ? "failed-precondition" : "unavailable", message, { hint });
}
