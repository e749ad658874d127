import { randomUUID } from "node:crypto";
import { buildAuditRecord } from "@claviger/audit-record";
import { DomainError, isDomainError } from "@claviger/domain-error";
import { type DueMove, dueMoves, type KeyDates, type KeyState, stateAt } from "@claviger/lifecycle";
import { freshVersion } from "./freshness.ts";
import { fullName, publish, type Registry, requireKey } from "./registry.ts";
import { dueVersionsOf } from "./store/due-keys.ts";
import { updateVersion, type VersionRow } from "./store/key-versions.ts";
import { type KeyRow, updateKey } from "./store/keys.ts";

const dateYearsMax = 100;
const yearMilliseconds = 366 * 86_400_000;

interface DatedRow {
  state: KeyState;
  activateAt: Date | null;
  expireAt: Date | null;
}

export function datesOf({ activateAt, expireAt }: Omit<DatedRow, "state">): KeyDates {
  return { activateAt: activateAt ?? undefined, expireAt: expireAt ?? undefined };
}

/** What its state is by now, whether or not the day was written down yet. */
export function stateNow(row: DatedRow, now: Date): KeyState {
  return stateAt(row.state, datesOf(row), now);
}

export function latestVersion(key: KeyRow): number {
  return key.latestVersion ?? key.currentVersion;
}

/** A key, locked, with everything that its days have done to it written down. @throws DomainError `not-found` */
export async function requireSettledKey(registry: Registry, name: string): Promise<KeyRow> {
  return (await settleDates(registry, await requireKey(registry, name, "lock"))).key;
}

/**
 * Writes down what the days of a locked key and of its versions have done by now: once, since whoever comes second
 * finds it done, and with an event and an audit record each. A version that was changed outside Claviger is left alone.
 */
export async function settleDates(registry: Registry, key: KeyRow): Promise<{ key: KeyRow; moves: number }> {
  let next = key;
  let moves = 0;
  for (const move of dueMoves(key.state, datesOf(key), registry.now)) {
    next = await moveKey(registry, next, move.to, { reason: move.reason, at: move.at });
    await recordMove(registry, next, 0, move);
    moves += 1;
  }
  for (const version of await dueVersionsOf(registry.tx, key.id, registry.now)) {
    const row = await genuineVersion(registry, key.id, version);
    if (row === undefined) continue;
    let moved = row;
    for (const move of dueMoves(row.state, datesOf(row), registry.now)) {
      ({ key: next, version: moved } = await moveVersion(registry, next, moved, move.to, move));
      await recordMove(registry, next, version, move);
      moves += 1;
    }
  }
  return { key: next, moves };
}

/** Whoever uses it is refused, and the row has been told of. */
async function genuineVersion(
  registry: Registry,
  keyId: string,
  version: number,
): Promise<VersionRow | undefined> {
  try {
    return await freshVersion(registry, keyId, version);
  } catch (error) {
    if (!isDomainError(error, "integrity")) throw error;
    return undefined;
  }
}

export interface Move {
  reason: string;
  at: Date;
}

/** Writes a key's next state, which the caller has seen to be allowed, and tells of it. */
export async function moveKey(
  registry: Registry,
  key: KeyRow,
  state: KeyState,
  { at, reason }: Move,
): Promise<KeyRow> {
  const early = state === "active" && key.activateAt !== null && key.activateAt > registry.now;
  const activateAt = early ? registry.now : key.activateAt;
  const next = { ...key, state, activateAt, stateReason: reason, stateChangedAt: at };
  const moved = await updateKey(registry.tx, registry.sealer, next);
  await publishStateChange(registry, key, 0, state, reason);
  return moved;
}

/** The same of a version; one that comes after the current one takes its place when it becomes active. */
export async function moveVersion(
  registry: Registry,
  key: KeyRow,
  version: VersionRow,
  state: KeyState,
  { at, reason }: Move,
): Promise<{ key: KeyRow; version: VersionRow }> {
  const early = state === "active" && version.activateAt !== null && version.activateAt > registry.now;
  const activateAt = early ? registry.now : version.activateAt;
  const next = { ...version, state, activateAt, stateReason: reason, stateChangedAt: at };
  const moved = await updateVersion(registry.tx, registry.sealer, next);
  await publishStateChange(registry, key, version.version, state, reason);
  if (state !== "active" || version.version <= key.currentVersion) return { key, version: moved };
  return { key: await takeOver(registry, key, version.version, at), version: moved };
}

/** The version before protects nothing new from then on. */
export async function takeOver(registry: Registry, key: KeyRow, version: number, at: Date): Promise<KeyRow> {
  const previous = await freshVersion(registry, key.id, key.currentVersion);
  const state = previous === undefined ? undefined : stateNow(previous, registry.now);
  if (previous !== undefined && (state === "active" || state === "suspended")) {
    const ended = { state: "deactivated", stateReason: "superseded", stateChangedAt: at } as const;
    await updateVersion(registry.tx, registry.sealer, { ...previous, ...ended });
  }
  const changed = { ...key, currentVersion: version, rotatedAt: at };
  const next = await updateKey(registry.tx, registry.sealer, changed);
  await publish(registry, "key.rotated", fullName(key), {
    keyId: key.id,
    version,
    previousVersion: key.currentVersion,
  });
  return next;
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

async function recordMove(registry: Registry, key: KeyRow, version: number, move: DueMove): Promise<void> {
  await registry.record(
    buildAuditRecord({
      id: randomUUID(),
      time: registry.now,
      service: "storage",
      method: "claviger.storage/ActOnDate",
      permission: "",
      resource: fullName(key),
      outcome: "allowed",
      traceId: "",
      details: { keyId: key.id, version, state: move.to, date: move.at.toISOString(), reason: move.reason },
      personal: { actor: registry.actor, certificateSerial: "" },
    }),
  );
}

/** Dates that a new key, or version, is born with. @throws DomainError `invalid-argument` */
export function checkNewDates(
  { activateAt, expireAt }: KeyDates,
  now: Date,
): { state: "active" | "pre-activation"; activateAt: Date | null; expireAt: Date | null } {
  checkOrder({ activateAt, expireAt }, now);
  const waits = activateAt !== undefined && activateAt > now;
  return {
    state: waits ? "pre-activation" : "active",
    activateAt: activateAt === undefined ? null : waits ? activateAt : now,
    expireAt: expireAt ?? null,
  };
}

export function checkOrder({ activateAt, expireAt }: KeyDates, now: Date): void {
  for (const date of [activateAt, expireAt]) {
    if (date !== undefined && Number.isNaN(date.getTime())) {
      throw new DomainError("invalid-argument", "a date is out of range");
    }
    if (date !== undefined && date.getTime() > now.getTime() + dateYearsMax * yearMilliseconds) {
      throw new DomainError("invalid-argument", `a date is at most ${dateYearsMax} years from now`);
    }
  }
  if (expireAt === undefined) return;
  if (expireAt <= now) {
    throw new DomainError("invalid-argument", `the date of expiry, ${expireAt.toISOString()}, has passed`, {
      hint: "to end a key now: claviger keys revoke … --reason cessationOfOperation",
    });
  }
  if (activateAt !== undefined && expireAt <= activateAt) {
    throw new DomainError("invalid-argument", "the date of expiry is not after that of the activation", {
      hint: "a key is used between the two",
    });
  }
}
