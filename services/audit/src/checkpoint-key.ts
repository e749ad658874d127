import { ensureHeldKey } from "@claviger/service";

const name = "system/audit-checkpoint";
const reason = "signs the audit log's checkpoints";
const retryMilliseconds = 1000;

/** The log's signing key, in the HSM and held. Resolves when it is there. */
export async function ensureCheckpointKey(
  clients: Parameters<typeof ensureHeldKey>[0],
  onTrouble: (what: string) => void,
): Promise<void> {
  for (;;) {
    try {
      await ensureHeldKey(clients, { name, algorithm: "ecdsa-p256", reason });
      return;
    } catch (error) {
      onTrouble(`${name} could not be made yet: ${(error as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
    }
  }
}
