import type { Client } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";

const name = "system/audit-checkpoint";
const retryMilliseconds = 1000;

/** Makes the log's signing key in the HSM, once in an installation's life, and holds it. Resolves when it is there. */
export async function ensureCheckpointKey(
  generator: Client<typeof KeyGenerationService>,
  registry: Client<typeof KeyService>,
  onTrouble: (what: string) => void,
): Promise<void> {
  for (;;) {
    try {
      await generator.createKey({ name, algorithm: "ecdsa-p256", protection: "hsm", destroyAfterDays: 90 });
      await registry.placeHold({ name, reason: "signs the audit log's checkpoints" });
      return;
    } catch (error) {
      if (isDomainError(error, "already-exists")) return;
      onTrouble(`${name} could not be made yet: ${(error as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds));
    }
  }
}
