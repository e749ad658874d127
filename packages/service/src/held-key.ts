import type { Client } from "@claviger/client";
import { isDomainError } from "@claviger/domain-error";
import type { KeyGenerationService } from "@claviger/proto/generator/v1/key_generation_pb.ts";
import type { KeyService } from "@claviger/proto/storage/v1/key_pb.ts";

/**
 * Makes a system key in the HSM, once in an installation's life, and holds it against destruction
 * before anything relies on it. Whatever died in between, a later call completes it.
 */
export async function ensureHeldKey(
  {
    generator,
    registry,
  }: { generator: Client<typeof KeyGenerationService>; registry: Client<typeof KeyService> },
  { algorithm, name, reason }: { name: string; algorithm: string; reason: string },
): Promise<void> {
  try {
    await generator.createKey({ name, algorithm, protection: "hsm", destroyAfterDays: 90 });
  } catch (error) {
    if (!isDomainError(error, "already-exists")) throw error;
  }
  const { key } = await registry.getKey({ name });
  if (!key?.holds.some((hold) => hold.reason === reason)) await registry.placeHold({ name, reason });
}
