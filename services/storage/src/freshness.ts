import { DomainError } from "@claviger/domain-error";
import type { Registry } from "./registry.ts";
import { type ApprovalRow, lockApproval, sealedApprovals } from "./store/approvals.ts";
import { type BindingRow, bindingsOf, sealedBindings } from "./store/bindings.ts";
import { membershipsOf, sealedGroupMembers } from "./store/groups.ts";
import { findVersion, sealedVersions, type VersionRow } from "./store/key-versions.ts";
import { type FloorRow, findFloor, sealedFloors } from "./store/keyring-floors.ts";
import { findKey, type KeyRow, sealedKeys } from "./store/keys.ts";
import { findRevocation } from "./store/revocations.ts";
import type { SealedTable } from "./store/sealed-table.ts";
import { sealedWithdrawals, withdrawalsOf } from "./store/withdrawals.ts";

/**
 * Rows that grant power, as they are now: one that the ledger of this replica knows as newer, or as taken away, is
 * not relied on. Each is read once more before that is said, for it may have been changed while it was on its way.
 */
async function fresh<Row extends object>(
  registry: Registry,
  table: SealedTable,
  read: () => Promise<Row[]>,
  name: (row: Row) => string,
): Promise<Row[]> {
  const isOld = (row: Row): boolean => registry.ledger.whyOld(table, row) !== undefined;
  const rows = await read();
  if (!rows.some(isOld)) return rows;
  const again = await read();
  const old = again.find(isOld);
  if (old === undefined) return again;
  const what = `the row of ${name(old)} ${registry.ledger.whyOld(table, old) ?? ""}`;
  registry.tell({ table: table.name, row: name(old), what });
  throw new DomainError("integrity", what, {
    hint: "treat the database as tampered with: `claviger audit search` shows what was really done to it",
  });
}

/** Undefined where there is none. @throws DomainError `integrity` */
export async function freshKey(
  registry: Registry,
  name: { keyring: string; key: string },
  lock: "read" | "lock" = "read",
): Promise<KeyRow | undefined> {
  const read = async (): Promise<KeyRow[]> => {
    const row = await findKey(registry.tx, registry.sealer, name, lock);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedKeys, read, () => `${name.keyring}/${name.key}`);
  return row;
}

/** Undefined where nobody ever set one. @throws DomainError `integrity` */
export async function freshFloor(registry: Registry, keyring: string): Promise<FloorRow | undefined> {
  const read = async (): Promise<FloorRow[]> => {
    const row = await findFloor(registry.tx, registry.sealer, keyring);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedFloors, read, () => `the floor of ${keyring}`);
  if (row !== undefined || registry.ledger.find("keyring_floors", keyring) === undefined) return row;
  const what = `the row of the floor of ${keyring} is gone, and Claviger did not take it away`;
  registry.tell({ table: "keyring_floors", row: keyring, what });
  throw new DomainError("integrity", what);
}

/** Undefined where there is none. @throws DomainError `integrity` */
export async function freshVersion(
  registry: Registry,
  keyId: string,
  version: number,
): Promise<VersionRow | undefined> {
  const read = async (): Promise<VersionRow[]> => {
    const row = await findVersion(registry.tx, registry.sealer, keyId, version);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedVersions, read, () => `version ${version} of key ${keyId}`);
  return row;
}

/** Locked; undefined where there is none. @throws DomainError `integrity` */
export async function freshApproval(registry: Registry, id: string): Promise<ApprovalRow | undefined> {
  const read = async (): Promise<ApprovalRow[]> => {
    const row = await lockApproval(registry.tx, registry.sealer, id);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedApprovals, read, () => `approval ${id}`);
  return row;
}

/** What an identity has by itself, and by its groups. @throws DomainError `integrity` */
export async function freshBindings(registry: Registry, identity: string): Promise<BindingRow[]> {
  const memberships = await fresh(
    registry,
    sealedGroupMembers,
    () => membershipsOf(registry.tx, registry.sealer, identity),
    ({ groupName }) => `${identity} in group ${groupName}`,
  );
  const bindings = await bindingsOfOne(registry, identity);
  for (const { groupName } of memberships) {
    bindings.push(...(await bindingsOfOne(registry, `group:${groupName}`)));
  }
  return bindings;
}

function bindingsOfOne(registry: Registry, identity: string): Promise<BindingRow[]> {
  return fresh(
    registry,
    sealedBindings,
    () => bindingsOf(registry.tx, registry.sealer, identity),
    ({ resource, role }) => `${role} for ${identity} on ${resource}`,
  );
}

/** Why one of `subjects` is revoked; also where somebody took away the row that says so. */
export async function whyRevoked(
  registry: Registry,
  subjects: readonly string[],
): Promise<string | undefined> {
  const revocation = await findRevocation(registry.tx, registry.sealer, subjects);
  if (revocation !== undefined) {
    const what = revocation.subject.startsWith("serial:") ? "this certificate" : "this identity";
    return `${what} was revoked on ${revocation.revokedAt.toISOString()}`;
  }
  const stands = (subject: string): boolean => registry.ledger.find("revocations", subject)?.gone === false;
  if (!subjects.some(stands)) return undefined;
  // Another replica may have taken it away, as it says in the same transaction.
  registry.ledger.learn(
    sealedWithdrawals,
    (await withdrawalsOf(registry.tx, "revocations", subjects)).map(
      (row) => sealedWithdrawals.open(registry.sealer, row) as object,
    ),
  );
  const missing = subjects.find(stands);
  if (missing === undefined) return undefined;
  registry.tell({
    table: "revocations",
    row: missing,
    what: `the row of ${missing} is gone, and Claviger did not take it away`,
  });
  return "it was revoked, and the row that says so is gone";
}
