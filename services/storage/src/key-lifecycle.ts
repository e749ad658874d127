import { DomainError } from "@claviger/domain-error";
import { isKeyState, type KeyState, mayMove, movesToDestroyed, stateTable } from "@claviger/lifecycle";
import { freshVersion } from "./freshness.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { insertDestruction } from "./store/destructions.ts";
import { listHolds } from "./store/holds.ts";
import { type KeyRow, listVersions, updateKey, updateVersion } from "./store/keys.ts";

const dayMilliseconds = 86_400_000;
/** How many versions one statement of a purge touches. */
const versionsPageMax = 500;

export const revocationReasons = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
  "aACompromise",
] as const;

/** @throws DomainError `failed-precondition` where the key is destroyed or pending destruction. */
export function requireAlive(key: KeyRow): void {
  if (key.state === "destroyed") {
    throw new DomainError("failed-precondition", `${fullName(key)} was destroyed`, {
      hint: "a destroyed key does not come back; make a new one",
    });
  }
  if (key.destroyAt !== null) {
    throw new DomainError(
      "failed-precondition",
      `${fullName(key)} is pending destruction on ${key.destroyAt.toISOString()}`,
      { hint: `until then it can be taken back: claviger keys restore ${fullName(key)}` },
    );
  }
}

/** Moves a key (version 0) or one version, as SP 800-57 Part 1 allows. */
export async function changeState(
  registry: Registry,
  key: KeyRow,
  change: { version: number; state: string; reason: string },
): Promise<KeyRow> {
  requireAlive(key);
  const target = checkTarget(change.state, change.reason);
  if (change.version === 0) {
    checkMove(fullName(key), key.state, target);
    const next = { ...key, state: target };
    await updateKey(registry.tx, registry.sealer, next);
    await publishStateChange(registry, key, 0, target, change.reason);
    return next;
  }
  const version =
    change.version > key.currentVersion ? undefined : await freshVersion(registry, key.id, change.version);
  if (version === undefined) {
    throw new DomainError("not-found", `${fullName(key)} has no version ${change.version}`);
  }
  checkMove(`${fullName(key)}@${change.version}`, version.state, target);
  await updateVersion(registry.tx, registry.sealer, { ...version, state: target });
  await publishStateChange(registry, key, change.version, target, change.reason);
  return key;
}

function checkTarget(state: string, reason: string): KeyState {
  if (!isKeyState(state) || state === "pre-activation" || state === "destroyed") {
    throw new DomainError("invalid-argument", "state must be active, suspended, deactivated or compromised", {
      hint: state === "destroyed" ? "claviger keys destroy starts a destruction" : undefined,
    });
  }
  if (reason !== "" && !(revocationReasons as readonly string[]).includes(reason)) {
    throw new DomainError("invalid-argument", `"${reason.slice(0, 40)}" is not a reason`, {
      hint: `one of ${revocationReasons.join(", ")} (RFC 5280)`,
    });
  }
  return state;
}

function checkMove(name: string, from: KeyState, to: KeyState): void {
  if (mayMove(from, to)) return;
  const ways = stateTable[from].movesTo.join(", ") || "nothing";
  throw new DomainError("failed-precondition", `${name} is ${from} and cannot become ${to}`, {
    hint: `SP 800-57 lets a key that is ${from} become ${ways}`,
  });
}

async function publishStateChange(
  registry: Registry,
  key: KeyRow,
  version: number,
  state: KeyState,
  reason: string,
): Promise<void> {
  await publish(registry, "key.state-changed", fullName(key), { keyId: key.id, version, state, reason });
}

/** Starts the destruction period. Refused while something depends on the key, naming it. */
export async function scheduleDestruction(registry: Registry, key: KeyRow): Promise<KeyRow> {
  requireAlive(key);
  const holds = await listHolds(registry.tx, registry.sealer, key.id);
  if (holds.length > 0) {
    const named = holds.slice(0, 5).map((hold) => `${hold.holder} (${hold.reason})`);
    throw new DomainError("failed-precondition", `${fullName(key)} is held by ${named.join(", ")}`, {
      hint: "end what depends on the key first; `claviger keys show` lists its holds",
    });
  }
  const destroyAt = new Date(registry.now.getTime() + key.destroyAfterDays * dayMilliseconds);
  const next = { ...key, destroyAt };
  await updateKey(registry.tx, registry.sealer, next);
  await publish(registry, "key.destruction-scheduled", fullName(key), {
    keyId: key.id,
    destroyAt: destroyAt.toISOString(),
  });
  return next;
}

export async function restore(registry: Registry, key: KeyRow): Promise<KeyRow> {
  if (key.state === "destroyed" || key.destroyAt === null) {
    const why = key.state === "destroyed" ? "was destroyed" : "is not pending destruction";
    throw new DomainError("failed-precondition", `${fullName(key)} ${why}`);
  }
  const next = { ...key, destroyAt: null };
  await updateKey(registry.tx, registry.sealer, next);
  await publish(registry, "key.restored", fullName(key), { keyId: key.id });
  return next;
}

/** The end of a destruction period: the material goes, the metadata stays. */
export async function purge(registry: Registry, key: KeyRow): Promise<KeyRow> {
  let generation = 0;
  for (let after = 0; ; ) {
    const versions = await listVersions(registry.tx, registry.sealer, key.id, after, versionsPageMax);
    for (const version of versions) {
      await updateVersion(registry.tx, registry.sealer, { ...version, state: "destroyed", material: null });
      after = version.version;
      if (version.material !== null) generation = Math.max(generation, version.material.readUInt32BE(3));
    }
    if (versions.length < versionsPageMax) break;
  }
  let next = key;
  for (const state of movesToDestroyed(key.state)) next = { ...next, state };
  await updateKey(registry.tx, registry.sealer, next);
  const destruction = { keyId: key.id, generation, destroyedAt: registry.now };
  await insertDestruction(registry.tx, registry.sealer, destruction);
  await publish(registry, "key.destroyed", fullName(key), { keyId: key.id });
  return next;
}
