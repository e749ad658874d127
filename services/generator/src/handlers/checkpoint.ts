import { DomainError } from "@claviger/domain-error";
import { formatCheckpointText } from "@claviger/merkle";
import type { CheckpointService } from "@claviger/proto/generator/v1/checkpoint_pb.ts";
import type { Handlers } from "@claviger/rpc";
import type { KeyStore } from "../key-store.ts";
import { signWith } from "../operations/signing.ts";

const checkpointKey = "system/audit-checkpoint";

export function checkpointHandlers(
  keyStore: KeyStore,
  trustDomain: string,
): Handlers<typeof CheckpointService, undefined> {
  return {
    async signCheckpoint({ origin, root, size }) {
      if (origin !== `${trustDomain}/audit`) {
        throw new DomainError("invalid-argument", `this key signs checkpoints of ${trustDomain}/audit alone`);
      }
      if (size > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new DomainError("invalid-argument", "a checkpoint's size is out of range");
      }
      const text = formatCheckpointText({ origin, size: Number(size), root });
      const key = await keyStore.require(checkpointKey, 0, "sign");
      return {
        signature: await signWith(key, {
          message: Buffer.from(text, "utf8"),
          digest: new Uint8Array(0),
          context: new Uint8Array(0),
        }),
        subjectPublicKeyInfo: key.facts.subjectPublicKeyInfo,
      };
    },
  };
}
