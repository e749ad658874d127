import { DomainError } from "@claviger/domain-error";
import { fullName, publish, type Registry } from "./registry.ts";
import type { KeyRow } from "./store/keys.ts";
import { findUses, insertUses, updateUses } from "./store/uses.ts";

const usesMaxMax = 2 ** 48;
const reservationMax = 2 ** 20;
/** From this share of its bound on, a version is due for rotation. */
const rotationShare = 0.75;

/** Begins a version's count, where its algorithm bounds its uses. */
export async function beginUses(
  registry: Registry,
  of: { keyId: string; version: number },
  usesMax: number,
): Promise<void> {
  if (usesMax === 0) return;
  if (!Number.isSafeInteger(usesMax) || usesMax < 1 || usesMax > usesMaxMax) {
    throw new DomainError("invalid-argument", "a bound of uses is out of range");
  }
  await insertUses(registry.tx, registry.sealer, { ...of, reserved: 0, usesMax });
}

/**
 * Sets uses of a version aside, as many as are left. When that passes the share, an event says that the
 * key is due for rotation.
 * @throws DomainError `failed-precondition` where none are left
 */
export async function reserveUses(
  registry: Registry,
  key: KeyRow,
  version: number,
  count: number,
): Promise<number> {
  if (count < 1 || count > reservationMax) {
    throw new DomainError("invalid-argument", `1 to ${reservationMax} uses are set aside at a time`);
  }
  const uses = await findUses(registry.tx, registry.sealer, { keyId: key.id, version }, "lock");
  if (uses === undefined) {
    throw new DomainError("integrity", `the count of the uses of ${fullName(key)}@${version} is missing`, {
      hint: "the database was changed outside Claviger: rotate the key",
    });
  }
  const granted = Math.min(count, uses.usesMax - uses.reserved);
  if (granted <= 0) {
    throw new DomainError(
      "failed-precondition",
      `${fullName(key)}@${version} has encrypted as often as its algorithm may with random nonces`,
      { hint: `make the next version: claviger keys rotate ${fullName(key)}` },
    );
  }
  const next = { ...uses, reserved: uses.reserved + granted };
  await updateUses(registry.tx, registry.sealer, next);
  if (!isDue(uses) && isDue(next)) {
    await publish(registry, "key.uses-high", fullName(key), { keyId: key.id, version });
  }
  return granted;
}

/** Whether the current version has been used so much that the next one is due. */
export async function usesAreHigh(registry: Registry, key: KeyRow): Promise<boolean> {
  const of = { keyId: key.id, version: key.currentVersion };
  const uses = await findUses(registry.tx, registry.sealer, of);
  return uses !== undefined && isDue(uses);
}

function isDue({ reserved, usesMax }: { reserved: number; usesMax: number }): boolean {
  return reserved >= usesMax * rotationShare;
}
