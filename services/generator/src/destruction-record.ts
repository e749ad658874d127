import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { canonicalJson } from "@claviger/audit-record";
import type { GetDestructionResponse } from "@claviger/proto/storage/v1/key_material_pb.ts";

const recordVersion = 1;

/**
 * What is certified of a destruction (docs/formats.md): canonical JSON. It says what is gone, who let go of it, and
 * what may still open an old copy, with the day on which that ends.
 */
export function destructionRecord(
  name: string,
  found: GetDestructionResponse,
  now: { trustDomain: string; module: string; leaseMilliseconds: number; time: Date },
): Buffer {
  const destroyedAt = timestampDate(found.destroyedAt!);
  const text = canonicalJson({
    v: recordVersion,
    kind: "destruction",
    trustDomain: now.trustDomain,
    name,
    keyId: found.keyId,
    algorithm: found.algorithm,
    versions: found.versions,
    destroyedAt: destroyedAt.toISOString(),
    // A generator that said nothing refuses the key from then on: its lease has ended.
    heldNowhereAfter: new Date(destroyedAt.getTime() + now.leaseMilliseconds).toISOString(),
    acknowledgedBy: found.acknowledgements.map(({ at, replica }) => ({ replica, at: iso(at) })),
    keyringGenerations: found.generations.map((one) => ({
      generation: one.generation,
      destroyedInTokenAt: iso(one.destroyedAt),
    })),
    lastBackupExpiresAt: iso(found.lastBackupExpiresAt),
    module: now.module,
    attestedAt: now.time.toISOString(),
  });
  return Buffer.from(text, "utf8");
}

/** `null` for what has not come, or is not there. */
function iso(timestamp: Timestamp | undefined): string | null {
  return timestamp === undefined ? null : timestampDate(timestamp).toISOString();
}
