import type { KeyState } from "./index.ts";

/** The days on which a key, or a version, moves by itself. */
export interface KeyDates {
  activateAt: Date | undefined;
  expireAt: Date | undefined;
}

export interface DueMove {
  to: KeyState;
  /** The day itself, however late it is looked at. */
  at: Date;
  reason: "activationDate" | "expiryDate";
}

export const noDates: KeyDates = { activateAt: undefined, expireAt: undefined };

/** States that the day of expiry ends. A suspended key is suspended until then, and deactivated afterwards. */
const expiring: ReadonlySet<KeyState> = new Set(["active", "suspended"]);

/** The moves that dates have made by `now`, in their order. Each is one that the table allows. */
export function dueMoves(state: KeyState, { activateAt, expireAt }: KeyDates, now: Date): DueMove[] {
  const moves: DueMove[] = [];
  let at = state;
  if (at === "pre-activation" && activateAt !== undefined && activateAt <= now) {
    moves.push({ to: "active", at: activateAt, reason: "activationDate" });
    at = "active";
  }
  if (expiring.has(at) && expireAt !== undefined && expireAt <= now) {
    moves.push({ to: "deactivated", at: expireAt, reason: "expiryDate" });
  }
  return moves;
}

/** What a state is by `now`, whether or not anybody has written it down yet. */
export function stateAt(state: KeyState, dates: KeyDates, now: Date): KeyState {
  if (dates.activateAt === undefined && dates.expireAt === undefined) return state;
  return dueMoves(state, dates, now).at(-1)?.to ?? state;
}
