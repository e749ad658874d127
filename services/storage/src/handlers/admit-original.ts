import { DomainError } from "@claviger/domain-error";
import type { IdempotentRequest } from "@claviger/idempotency";
import { parseIdentity } from "@claviger/identity";
import type { OriginalRequest } from "@claviger/proto/storage/v1/key_material_pb.ts";
import { requirePermission } from "../access.ts";
import type { Registry } from "../registry.ts";

/** The generator says whose request it carries out; that caller's own rights decide here once more. */
export async function admitOriginal(
  registry: Registry,
  original: OriginalRequest | undefined,
  permission: string,
  resource: string,
): Promise<IdempotentRequest> {
  if (original === undefined) {
    throw new DomainError("invalid-argument", "the request does not say for whom it is made");
  }
  await requirePermission(registry, parseIdentity(original.caller), permission, resource);
  return original;
}
