import { randomUUID } from "node:crypto";
import { identityFromName } from "@claviger/identity";
import type { Registry } from "./registry.ts";
import { insertBinding } from "./store/bindings.ts";

/**
 * Binds the administrator that bootstrap made, once in an installation's life: afterwards roles are
 * granted by those who have them, and emptying the table brings nobody back.
 */
export async function bindFirstAdministrator(registry: Registry, trustDomain: string): Promise<void> {
  const identity = identityFromName(trustDomain, "user/administrator").uri;
  const installation = { id: 1, firstAdministrator: identity, createdAt: registry.now };
  const inserted = await registry.tx.query(
    `INSERT INTO installation (id, first_administrator, created_at, seal) VALUES (1, $1, $2, $3)
     ON CONFLICT DO NOTHING RETURNING 1`,
    [identity, registry.now, registry.sealer.seal("installation", installation)],
  );
  if (inserted.length === 0) return;
  await insertBinding(registry.tx, registry.sealer, {
    id: randomUUID(),
    role: "administrator",
    identity,
    resource: "*",
    createdBy: identity,
    createdAt: registry.now,
  });
}
