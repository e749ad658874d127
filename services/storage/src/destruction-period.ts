import { DomainError } from "@claviger/domain-error";
import { freshFloor } from "./freshness.ts";
import { publish, type Registry } from "./registry.ts";
import { saveFloor } from "./store/keyring-floors.ts";
import { lockKeyring } from "./store/keyrings.ts";

const daysMin = 7;
const daysMax = 90;
const daysDefault = 30;

/** The least that a keyring's keys wait; 0 where nobody set a floor. @throws DomainError `integrity` */
export async function floorOf(registry: Registry, keyring: string): Promise<number> {
  return (await freshFloor(registry, keyring))?.destroyAfterDaysMin ?? 0;
}

/** The period of a new key: what was asked for, or the default, and not under the floor. */
export async function newPeriod(registry: Registry, keyring: string, days: number): Promise<number> {
  const floor = await floorOf(registry, keyring);
  if (days === 0) return Math.max(daysDefault, floor);
  if (days < daysMin || days > daysMax) {
    throw new DomainError("invalid-argument", `a destruction period is ${daysMin} to ${daysMax} days`);
  }
  if (days < floor) {
    throw new DomainError(
      "failed-precondition",
      `keys of ${keyring} are destroyed after ${floor} days at least`,
      {
        hint: `leave --destroy-after out, or let it be ${floor}d or more`,
      },
    );
  }
  return days;
}

/** For keys that are there already, too, from their next destruction on; those that are pending keep their day. */
export async function setFloor(registry: Registry, keyring: string, days: number): Promise<void> {
  if (days !== 0 && (days < daysMin || days > daysMax)) {
    throw new DomainError("invalid-argument", `a destruction period is ${daysMin} to ${daysMax} days`);
  }
  const { now, sealer, tx } = registry;
  // Of two who set it at once one waits, also where there is no row to lock yet.
  await lockKeyring(tx, keyring, "alone");
  const known = await freshFloor(registry, keyring);
  const revision = (known?.revision ?? 0) + 1;
  await saveFloor(tx, sealer, { keyring, destroyAfterDaysMin: days, setAt: now, revision });
  await publish(registry, "keyring.configured", keyring, { destroyAfterDaysMin: days });
}
