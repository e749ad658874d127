import { createHash, timingSafeEqual } from "node:crypto";
import { DomainError } from "@claviger/domain-error";
import { publish, type Registry } from "./registry.ts";
import {
  findGeneration,
  type GenerationRow,
  listForeignWraps,
  updateRecoveryWrap,
} from "./store/keyrings.ts";
import { insertRecoveryKey, lockRecoveryKey } from "./store/recovery-keys.ts";

export const wrapsOfPage = 200;
const recoveryKeyForm = /^[0-9a-f]{16}$/;

/**
 * New generations are wrapped for the newest recovery key, or are not taken: otherwise one could stay under a key
 * whose shares are destroyed. Holds until the transaction ends.
 */
export async function requireNewestRecoveryKey(registry: Registry, recoveryKey: string): Promise<void> {
  checkRecoveryKey(recoveryKey);
  const { now, sealer, tx } = registry;
  const newest = await lockRecoveryKey(tx, sealer, "shared");
  if (newest?.recoveryKey === recoveryKey) return;
  if (newest === undefined) {
    if (await insertRecoveryKey(tx, sealer, { number: 1, recoveryKey, adoptedAt: now })) return;
  }
  throw new DomainError("aborted", `the recovery key is ${newest?.recoveryKey ?? "another"} by now`, {
    hint: "try again",
  });
}

/** The recovery key `to` takes the place of `from`. Said again, it changes nothing. */
export async function adoptRecoveryKey(registry: Registry, { from, to }: { from: string; to: string }) {
  checkRecoveryKey(to);
  const { now, sealer, tx } = registry;
  const newest = await lockRecoveryKey(tx, sealer, "alone");
  if (newest?.recoveryKey === to) return;
  if (newest === undefined || newest.recoveryKey !== from) {
    const found = newest === undefined ? "there is none yet" : `it is ${newest.recoveryKey}`;
    throw new DomainError("failed-precondition", `the recovery key is not ${from}: ${found}`);
  }
  const row = { number: newest.number + 1, recoveryKey: to, adoptedAt: now };
  if (!(await insertRecoveryKey(tx, sealer, row))) {
    throw new DomainError("failed-precondition", `${to} was the recovery key once, and is not again`);
  }
  await publish(registry, "recovery-key.changed", "recovery", { from, to });
}

/** Generations that can still wrap something, and whose own wrap is not for `recoveryKey`: a page of them. */
export async function foreignWraps(registry: Registry, recoveryKey: string): Promise<GenerationRow[]> {
  return listForeignWraps(registry.tx, registry.sealer, checkRecoveryKey(recoveryKey), wrapsOfPage);
}

/** Resolves to false where the wrap is not the one that is to be replaced any more. */
export async function replaceRecoveryWrap(
  registry: Registry,
  recoveryKey: string,
  replacement: { keyring: string; generation: number; replacedDigest: Uint8Array; recoveryWrap: Uint8Array },
): Promise<boolean> {
  const { sealer, tx } = registry;
  await requireNewestRecoveryKey(registry, recoveryKey);
  const row = await findGeneration(tx, sealer, replacement);
  if (row === undefined) return false;
  const digest = createHash("sha256").update(row.recoveryWrap).digest();
  const expected = replacement.replacedDigest;
  if (expected.length !== digest.length || !timingSafeEqual(digest, expected)) return false;
  const recoveryWrap = Buffer.from(replacement.recoveryWrap);
  await updateRecoveryWrap(tx, sealer, { ...row, recoveryWrap, recoveryKey });
  return true;
}

export function checkRecoveryKey(recoveryKey: string): string {
  if (recoveryKeyForm.test(recoveryKey)) return recoveryKey;
  throw new DomainError("invalid-argument", "a recovery key is named by 16 hexadecimal digits");
}
