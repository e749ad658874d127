import { timestampDate } from "@bufbuild/protobuf/wkt";
import { DomainError, isDomainError } from "@claviger/domain-error";
import type { BackupService } from "@claviger/proto/generator/v1/backup_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { shareDigest } from "../ceremony/shares.ts";
import type { Hsm } from "../hsm/port.ts";
import type { BackupOptions } from "./backup.ts";

/** Undefined where one key is just taking the other's place. */
async function inTheHsm(hsm: Hsm): Promise<string | undefined> {
  try {
    return await hsm.recoveryKey();
  } catch (error) {
    if (isDomainError(error, "unavailable")) return undefined;
    throw error;
  }
}

/** Who holds the recovery key's shares. */
export function custodyHandlers(
  options: Pick<BackupOptions, "hsm" | "storage" | "transcript">,
): Pick<Handlers<typeof BackupService, undefined>, "getCustody" | "acknowledgeCustody"> {
  const { hsm, storage } = options;
  return {
    async getCustody() {
      const { custody, custodyChanges, heldAt, recoveryKey } = await options.transcript();
      const { custodians } = await storage.listCustody({ recoveryKey });
      return {
        recoveryKey,
        threshold: custody.threshold,
        since: custodyChanges?.at(-1)?.changedAt ?? heldAt,
        changing: (await inTheHsm(hsm)) !== recoveryKey,
        shares: Array.from({ length: custody.shares }, (_, at) => ({
          number: at + 1,
          holders: custodians
            .filter(({ share }) => share === at + 1)
            .map(({ acknowledgedAt, identity }) => ({
              identity,
              acknowledgedAt: acknowledgedAt ? timestampDate(acknowledgedAt).toISOString() : "",
            })),
        })),
      };
    },
    async acknowledgeCustody({ proof }, context) {
      const { recoveryKey, shareDigests } = await options.transcript();
      const share = shareDigests.indexOf(shareDigest(proof)) + 1;
      if (share === 0) {
        throw new DomainError("failed-precondition", `that is no share of recovery key ${recoveryKey}`, {
          hint: "the file as the ceremony made it is wanted, unchanged; shares of a former recovery key are of no use",
        });
      }
      context.note({ recoveryKey, share });
      await storage.recordCustody({ identity: context.caller.uri, recoveryKey, share });
      return { recoveryKey, share };
    },
  };
}
