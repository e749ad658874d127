import { DomainError } from "@claviger/domain-error";
import type { KeyState } from "@claviger/lifecycle";
import { freshVersion } from "./freshness.ts";
import { checkOrder, latestVersion } from "./key-dates.ts";
import { requireAlive } from "./key-lifecycle.ts";
import { fullName, publish, type Registry } from "./registry.ts";
import { updateVersion } from "./store/key-versions.ts";
import { type KeyRow, updateKey } from "./store/keys.ts";

export interface ScheduleChange {
  /** 0: the key as a whole. */
  version: number;
  activateAt: Date | undefined;
  expireAt: Date | undefined;
  neverExpires: boolean;
}

const mayExpire: ReadonlySet<KeyState> = new Set(["pre-activation", "active", "suspended"]);

/** Changes the days of a settled key, or of one version. */
export async function schedule(registry: Registry, key: KeyRow, change: ScheduleChange): Promise<KeyRow> {
  requireAlive(key);
  if (change.version === 0) {
    const dates = changed(registry, fullName(key), key, change);
    await tell(registry, key, 0, dates);
    return updateKey(registry.tx, registry.sealer, { ...key, ...dates });
  }
  const row =
    change.version > latestVersion(key) ? undefined : await freshVersion(registry, key.id, change.version);
  if (row === undefined) {
    throw new DomainError("not-found", `${fullName(key)} has no version ${change.version}`);
  }
  const dates = changed(registry, `${fullName(key)}@${change.version}`, row, change);
  await updateVersion(registry.tx, registry.sealer, { ...row, ...dates });
  await tell(registry, key, change.version, dates);
  return key;
}

function changed(
  { now }: Registry,
  name: string,
  row: { state: KeyState; activateAt: Date | null; expireAt: Date | null },
  { activateAt, expireAt, neverExpires }: ScheduleChange,
): { activateAt: Date | null; expireAt: Date | null } {
  if (activateAt === undefined && expireAt === undefined && !neverExpires) {
    throw new DomainError(
      "invalid-argument",
      "nothing is to be changed: give a date of activation or of expiry",
    );
  }
  if (expireAt !== undefined && neverExpires) {
    throw new DomainError("invalid-argument", "a date of expiry, and none at all, were both given");
  }
  if (activateAt !== undefined && row.state !== "pre-activation") {
    throw new DomainError(
      "failed-precondition",
      `${name} is ${row.state}: it has been activated, or never will be`,
      {
        hint: "only what is pre-activation has a date of activation to change",
      },
    );
  }
  checkOrder({ activateAt, expireAt: undefined }, now);
  if (activateAt !== undefined && activateAt <= now) {
    throw new DomainError(
      "invalid-argument",
      `the date of activation, ${activateAt.toISOString()}, has passed`,
      {
        hint: `to activate it now: claviger keys enable ${name}`,
      },
    );
  }
  if (!mayExpire.has(row.state)) {
    throw new DomainError(
      "failed-precondition",
      `${name} is ${row.state}, and nothing of it is left to expire`,
    );
  }
  const next = {
    activateAt: activateAt ?? row.activateAt,
    expireAt: neverExpires ? null : (expireAt ?? row.expireAt),
  };
  const waiting = row.state === "pre-activation" ? (next.activateAt ?? undefined) : undefined;
  checkOrder({ activateAt: waiting, expireAt: next.expireAt ?? undefined }, now);
  return next;
}

async function tell(
  registry: Registry,
  key: KeyRow,
  version: number,
  { activateAt, expireAt }: { activateAt: Date | null; expireAt: Date | null },
): Promise<void> {
  await publish(registry, "key.scheduled", fullName(key), {
    keyId: key.id,
    version,
    activateAt: activateAt?.toISOString() ?? null,
    expireAt: expireAt?.toISOString() ?? null,
  });
}
