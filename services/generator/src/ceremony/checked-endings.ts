import { endingsTable, readEndings } from "@claviger/backup";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { createRowSealer } from "@claviger/row-seal";
import type { SecretBytes } from "@claviger/secret-bytes";
import { unwrapWith } from "./opened-backup.ts";

export interface CheckedEndings {
  count: number;
  /** Until then all of it is known; empty where the file is not this installation's, or not whole: `why` says so. */
  takenAt: string;
  why: string;
}

/** What was ended, as storage of the backup's own installation sealed it: its seal key is in the backup. */
export async function checkEndings(
  source: NodeJS.ReadableStream,
  recoveryKey: SecretBytes,
  sealKeyWrap: string | undefined,
): Promise<CheckedEndings> {
  using sealKey = unwrapWith(recoveryKey, sealKeyWrap, "the seal key of storage");
  const sealer = createRowSealer(sealKey.expose());
  let count = 0;
  let takenAt = "";
  try {
    for await (const { ending, seal } of readEndings(source)) {
      try {
        sealer.check(endingsTable, "", { ...ending }, seal);
      } catch (cause) {
        throw new DomainError(
          "integrity",
          `line ${count + 1} was not written by this backup's installation`,
          {
            cause,
          },
        );
      }
      if (ending.kind === "taken") takenAt = ending.at;
      else count += 1;
    }
    return { count, takenAt, why: "" };
  } catch (error) {
    if (!isDomainError(error, "integrity")) throw error;
    return { count: 0, takenAt: "", why: error.message };
  }
}
