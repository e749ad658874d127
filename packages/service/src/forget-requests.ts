import type { Database } from "@claviger/database";
import { forgetOldRequests } from "@claviger/idempotency";
import { Rounds } from "./rounds.ts";

const keptMilliseconds = 7 * 86_400_000;
const everyMilliseconds = 3_600_000;

/** A repeated request is known again for a week; then its stored answer goes. */
export function forgetRequestsByTheHour(database: Database, onTrouble: (what: string) => void): Rounds {
  return new Rounds({
    everyMilliseconds,
    async work() {
      const before = new Date(Date.now() - keptMilliseconds);
      await database.transaction((tx) => forgetOldRequests(tx, before));
      return false;
    },
    waiting: "old requests stay",
    onTrouble,
  });
}
