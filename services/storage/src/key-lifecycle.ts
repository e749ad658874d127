import { DomainError } from "@claviger/domain-error";
import {
  isKeyState,
  type KeyState,
  mayMove,
  movesToDestroyed,
  reasonsFor,
  stateTable,
} from "@claviger/lifecycle";
import { floorOf } from "./destruction-period.ts";
import { freshVersion } from "./freshness.ts";
import { holdsOf, whyHeld } from "./holds.ts";
import { latestVersion, moveKey, moveVersion } from "./key-dates.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { insertDestruction } from "./store/destructions.ts";
import { listVersions, updateVersion } from "./store/key-versions.ts";
import { type KeyRow, updateKey } from "./store/keys.ts";

const dayMilliseconds = 86_400_000;
/** How many versions one statement of a purge touches. */
const versionsPageMax = 500;

/** @throws DomainError `failed-precondition` where the key is destroyed or pending destruction. */
export function requireAlive(key: KeyRow): void {
  if (key.state === "destroyed") {
    throw new DomainError("failed-precondition", `${fullName(key)} was destroyed${dayOf(key)}`, {
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

function dayOf({ destroyAt, stateChangedAt }: KeyRow): string {
  const day = stateChangedAt ?? destroyAt;
  return day === null ? "" : ` on ${day.toISOString()}`;
}

/** Moves a settled key (version 0) or one version, as SP 800-57 Part 1 allows. */
export async function changeState(
  registry: Registry,
  key: KeyRow,
  change: { version: number; state: string; reason: string },
): Promise<KeyRow> {
  requireAlive(key);
  const target = checkTarget(change.state);
  const reason = checkReason(target, change.reason);
  const move = { reason, at: registry.now };
  if (change.version === 0) {
    checkMove(fullName(key), key.state, target);
    return moveKey(registry, key, target, move);
  }
  const version =
    change.version > latestVersion(key) ? undefined : await freshVersion(registry, key.id, change.version);
  if (version === undefined) {
    throw new DomainError("not-found", `${fullName(key)} has no version ${change.version}`);
  }
  checkMove(`${fullName(key)}@${change.version}`, version.state, target);
  return (await moveVersion(registry, key, version, target, move)).key;
}

function checkTarget(state: string): KeyState {
  if (!isKeyState(state) || state === "pre-activation" || state === "destroyed") {
    throw new DomainError("invalid-argument", "state must be active, suspended, deactivated or compromised", {
      hint: state === "destroyed" ? "claviger keys destroy starts a destruction" : undefined,
    });
  }
  return state;
}

/** What only Claviger gives is let through where it is Claviger that moves the key. */
function checkReason(state: KeyState, reason: string): string {
  const given = reason === "" ? "unspecified" : reason;
  const fitting = reasonsFor(state) as readonly string[];
  if (fitting.includes(given)) return given;
  throw new DomainError("invalid-argument", `"${given.slice(0, 40)}" is no reason for being ${state}`, {
    hint: `one of ${fitting.join(", ")}`,
  });
}

function checkMove(name: string, from: KeyState, to: KeyState): void {
  if (mayMove(from, to)) return;
  const ways = stateTable[from].movesTo.join(", ") || "nothing";
  throw new DomainError("failed-precondition", `${name} is ${from} and cannot become ${to}`, {
    hint: `SP 800-57 lets a key that is ${from} become ${ways}`,
  });
}

/** Starts the destruction period. Refused while something depends on the key, naming it. */
export async function scheduleDestruction(
  registry: Registry,
  key: KeyRow,
  how: { despiteHolds: boolean },
): Promise<KeyRow> {
  requireAlive(key);
  const held = whyHeld(await holdsOf(registry, key));
  if (held !== undefined && !how.despiteHolds) {
    throw new DomainError("failed-precondition", `${fullName(key)} ${held}`, {
      hint: "end what depends on the key first: claviger keys show has it all; or have it approved: --despite-holds",
    });
  }
  const days = Math.max(key.destroyAfterDays, await floorOf(registry, key.keyring));
  const destroyAt = new Date(registry.now.getTime() + days * dayMilliseconds);
  const next = await updateKey(registry.tx, registry.sealer, { ...key, destroyAt });
  await publish(registry, "key.destruction-scheduled", fullName(key), {
    keyId: key.id,
    destroyAt: destroyAt.toISOString(),
  });
  return next;
}

export async function restore(registry: Registry, key: KeyRow): Promise<KeyRow> {
  if (key.state === "destroyed" || key.destroyAt === null) {
    const why = key.state === "destroyed" ? `was destroyed${dayOf(key)}` : "is not pending destruction";
    throw new DomainError("failed-precondition", `${fullName(key)} ${why}`);
  }
  const next = await updateKey(registry.tx, registry.sealer, { ...key, destroyAt: null });
  await publish(registry, "key.restored", fullName(key), { keyId: key.id });
  return next;
}

/** The end of a destruction period: the material goes, the metadata stays. */
export async function purge(registry: Registry, key: KeyRow): Promise<KeyRow> {
  const ended = {
    state: "destroyed",
    stateReason: "destructionPeriodEnded",
    stateChangedAt: registry.now,
  } as const;
  let generation = 0;
  for (let after = 0; ; ) {
    const versions = await listVersions(registry.tx, registry.sealer, key.id, after, versionsPageMax);
    for (const version of versions) {
      await updateVersion(registry.tx, registry.sealer, { ...version, ...ended, material: null });
      after = version.version;
      if (version.material !== null) generation = Math.max(generation, version.material.readUInt32BE(3));
    }
    if (versions.length < versionsPageMax) break;
  }
  // A key that was in use is deactivated on its way, as the table wants it; nobody can see it in between.
  if (movesToDestroyed(key.state).at(-1) !== "destroyed") {
    throw new DomainError("internal", `${fullName(key)} is ${key.state} and cannot be purged`);
  }
  const next = await updateKey(registry.tx, registry.sealer, { ...key, ...ended });
  const destruction = { keyId: key.id, generation, destroyedAt: registry.now };
  await insertDestruction(registry.tx, registry.sealer, destruction);
  await publish(registry, "key.destroyed", fullName(key), { keyId: key.id });
  return next;
}
