import { join } from "node:path";
import type { BackupManifest, SectionHead } from "@claviger/backup";
import { type GeneratorAccount, runGeneratorProgram } from "../generator-program.ts";
import type { Layout } from "../layout.ts";

export interface RestoreFiles {
  file: string;
  shares: readonly string[];
  /** What was ended since the backup was made: files of `backup endings`, and what the running installation says. */
  endings?: readonly { path: string; given: boolean }[];
}

export type Opened = BackupManifest & {
  tables: SectionHead[];
  recoveryKey: string;
  /** Of each file: whether it is of the backup's installation, and whole. */
  endings: { count: number; takenAt: string; why: string }[];
};

/** Where the generator's program leaves what a backup holds. */
export function openedDirectory(layout: Layout): string {
  return join(layout.serviceDirectory("generator"), "restore");
}

/** Runs a step of the generator's program that restores. @throws DomainError with what the program said */
export async function runRestoreStep<Answer>(
  step: "open" | "token",
  { files, ...options }: GeneratorAccount & { files: RestoreFiles },
): Promise<Answer> {
  const endings = step === "open" ? (files.endings ?? []).map(({ path }) => path) : [];
  return runGeneratorProgram<Answer>({
    ...options,
    program: "services/generator/src/ceremony/restore.ts",
    input: step === "open" ? files.file : undefined,
    shares: [...files.shares, ...endings],
    environment: {
      CLAVIGER_RESTORE_STEP: step,
      CLAVIGER_RESTORE_SHARES: String(files.shares.length),
      CLAVIGER_RESTORE_ENDINGS: String(endings.length),
    },
  });
}
