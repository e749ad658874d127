import { type SealedTable, sealedWithdrawals } from "@claviger/row-ledger";
import type { Registry } from "./registry.ts";
import { sealedAcknowledgements, sealUnsealedAcknowledgements } from "./store/acknowledgements.ts";
import { sealedRollouts, sealUnsealedRollouts } from "./store/rollouts.ts";
import { sealedSchedules, sealUnsealedSchedules } from "./store/schedules.ts";
import { sealedSubscriptions, sealUnsealedSubscriptions } from "./store/subscriptions.ts";

/** Every table whose rows say when keys rotate and who has followed. What was withdrawn explains what is missing. */
export const sealedTables: readonly SealedTable[] = [
  sealedWithdrawals,
  sealedSchedules,
  sealedRollouts,
  sealedSubscriptions,
  sealedAcknowledgements,
];

/**
 * Rows of an installation that was there before rows had seals, once: afterwards, a row without one is one that somebody
 * else wrote.
 */
export async function sealUnsealedRows(registry: Registry): Promise<number> {
  const { sealer, tx } = registry;
  return (
    (await sealUnsealedSchedules(registry)) +
    (await sealUnsealedRollouts(tx, sealer)) +
    (await sealUnsealedSubscriptions(tx, sealer)) +
    (await sealUnsealedAcknowledgements(tx, sealer))
  );
}
