import { randomUUID } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { identityFromName } from "@claviger/identity";
import type { Registry } from "./registry.ts";
import { insertBinding } from "./store/bindings.ts";
import { insertInstallation, isInstalled } from "./store/installation.ts";

/**
 * Binds the administrator that bootstrap made, once in an installation's life: afterwards roles are
 * granted by those who have them, and emptying the table brings nobody back.
 * @throws DomainError `integrity` where it was done before, and the row that says so is gone
 */
export async function bindFirstAdministrator(
  registry: Registry,
  { knownBefore, trustDomain }: { knownBefore: boolean; trustDomain: string },
): Promise<void> {
  const { now, sealer, tx } = registry;
  if (await isInstalled(tx)) return;
  if (knownBefore) {
    throw new DomainError("integrity", "the row of installation was taken away: the database was changed", {
      hint: "restore a backup; or, where an empty database is what you want, npm run reset",
    });
  }
  const identity = identityFromName(trustDomain, "user/administrator").uri;
  if (!(await insertInstallation(tx, sealer, { id: 1, firstAdministrator: identity, createdAt: now })))
    return;
  await insertBinding(tx, sealer, {
    id: randomUUID(),
    role: "administrator",
    identity,
    resource: "*",
    createdBy: identity,
    createdAt: now,
    condition: "",
  });
}
