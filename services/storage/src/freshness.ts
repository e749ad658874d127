import { DomainError } from "@claviger/domain-error";
import type { Registry } from "./registry.ts";
import { type ApprovalRow, lockApproval, sealedApprovals } from "./store/approvals.ts";
import { allBindings, type BindingRow, bindingsOf, sealedBindings } from "./store/bindings.ts";
import { type EmergencyRow, lockEmergency, sealedEmergencies, unreviewedOf } from "./store/emergencies.ts";
import { type EmergencyRuleRow, listEmergencyRules, sealedEmergencyRules } from "./store/emergency-rules.ts";
import { type FloorRow, floorsMax, listFloors, sealedFloors } from "./store/floors.ts";
import { allGroupMembers, type GroupMemberRow, membershipsOf, sealedGroupMembers } from "./store/groups.ts";
import { findVersion, sealedVersions, type VersionRow } from "./store/key-versions.ts";
import { findKeyringFloor, type KeyringFloorRow, sealedKeyringFloors } from "./store/keyring-floors.ts";
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
export async function freshFloor(registry: Registry, keyring: string): Promise<KeyringFloorRow | undefined> {
  const read = async (): Promise<KeyringFloorRow[]> => {
    const row = await findKeyringFloor(registry.tx, registry.sealer, keyring);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedKeyringFloors, read, () => `the floor of ${keyring}`);
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

/** Locked; undefined where there is none. @throws DomainError `integrity` */
export async function freshEmergency(registry: Registry, id: string): Promise<EmergencyRow | undefined> {
  const read = async (): Promise<EmergencyRow[]> => {
    const row = await lockEmergency(registry.tx, registry.sealer, id);
    return row === undefined ? [] : [row];
  };
  const [row] = await fresh(registry, sealedEmergencies, read, () => `emergency ${id}`);
  return row;
}

/** Emergencies of an identity that nobody has reviewed; the newest first. @throws DomainError `integrity` */
export function freshUnreviewed(
  registry: Registry,
  identity: string,
  limit: number,
): Promise<EmergencyRow[]> {
  return fresh(
    registry,
    sealedEmergencies,
    () => unreviewedOf(registry.tx, registry.sealer, identity, limit),
    ({ id }) => `emergency ${id}`,
  );
}

/** For which roles an identity was named. @throws DomainError `integrity` */
export function freshEmergencyRules(registry: Registry, identity: string): Promise<EmergencyRuleRow[]> {
  return fresh(
    registry,
    sealedEmergencyRules,
    () => listEmergencyRules(registry.tx, registry.sealer, identity),
    ({ resource, role }) => `${role} for ${identity} on ${resource}`,
  );
}

/** All floors, as they stand; also where somebody took one away. @throws DomainError `integrity` */
export async function freshFloors(registry: Registry): Promise<FloorRow[]> {
  const rows = await fresh(
    registry,
    sealedFloors,
    () => listFloors(registry.tx, registry.sealer),
    ({ id }) => `floor ${id}`,
  );
  const there = new Set(rows.map(({ id }) => id));
  const missing = (): string | undefined =>
    registry.ledger.places(sealedFloors.name, floorsMax).find((place) => !there.has(place));
  let gone = missing();
  if (gone === undefined) return rows;
  // Another replica may have taken it away, as it says in the same transaction.
  const withdrawn = await withdrawalsOf(registry.tx, sealedFloors.name, [gone]);
  registry.ledger.learn(
    sealedWithdrawals,
    withdrawn.map((row) => sealedWithdrawals.open(registry.sealer, row) as object),
  );
  gone = missing();
  if (gone === undefined) return rows;
  const what = `the row of floor ${gone} is gone, and Claviger did not take it away`;
  registry.tell({ table: sealedFloors.name, row: gone, what });
  throw new DomainError("integrity", what, {
    hint: "treat the database as tampered with: `claviger audit search` shows what was really done to it",
  });
}

/** What an identity has by itself, and by its groups. @throws DomainError `integrity` */
export async function freshHoldings(
  registry: Registry,
  identity: string,
): Promise<{ bindings: BindingRow[]; groups: string[] }> {
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
  return { bindings, groups: memberships.map(({ groupName }) => groupName) };
}

/** All bindings and memberships. @throws DomainError `integrity`; `exhausted` where there are too many */
export async function freshPolicy(
  registry: Registry,
): Promise<{ bindings: BindingRow[]; memberships: GroupMemberRow[] }> {
  const { sealer, tx } = registry;
  const bindings = await fresh(
    registry,
    sealedBindings,
    () => allBindings(tx, sealer),
    ({ identity, resource, role }) => `${role} for ${identity} on ${resource}`,
  );
  const memberships = await fresh(
    registry,
    sealedGroupMembers,
    () => allGroupMembers(tx, sealer),
    ({ groupName, identity }) => `${identity} in group ${groupName}`,
  );
  return { bindings, memberships };
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
