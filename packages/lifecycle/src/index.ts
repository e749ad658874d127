import { type KeyDates, noDates, stateAt } from "./dates.ts";

export { type DueMove, dueMoves, type KeyDates, noDates, stateAt } from "./dates.ts";
export { type AutomaticReason, automaticReasons, type ChangeReason, reasonsFor } from "./reasons.ts";

/** SP 800-57 Part 1 Rev. 5, section 7. */
export const keyStates = [
  "pre-activation",
  "active",
  "suspended",
  "deactivated",
  "compromised",
  "destroyed",
] as const;
export type KeyState = (typeof keyStates)[number];

/** What may be done with a key's material. Applying protection needs more than processing what was protected. */
const applying = ["encrypt", "sign", "mac", "wrap", "agree", "export", "new-version"] as const;
const processing = ["decrypt", "verify", "verify-mac", "unwrap", "decapsulate"] as const;
/** Of those, what still rescues data when a key is compromised: what it verifies proves nothing any more. */
const rescuing = ["decrypt", "unwrap", "decapsulate"] as const;
export const keyOperations = [...applying, ...processing, "encapsulate", "public-key"] as const;
export type KeyOperation = (typeof keyOperations)[number];

interface StateRow {
  /** The moves that SP 800-57 Part 1 Rev. 5 section 7 allows from here. */
  readonly movesTo: readonly KeyState[];
  readonly permits: readonly KeyOperation[];
  /** Completes "the key is …, and …". */
  readonly consequence: string;
}

/**
 * What each state permits, and where it leads: one table, for keys and for single versions. An
 * operation must be permitted by both. A suspended key does nothing, since it is suspended because
 * it may be compromised; a compromised one still decrypts, so that its data can be rescued, but
 * verifies nothing, since a signature made with it proves nothing any more.
 */
export const stateTable: Readonly<Record<KeyState, StateRow>> = {
  "pre-activation": {
    movesTo: ["active", "suspended", "compromised", "destroyed"],
    permits: ["public-key"],
    consequence: "is used only once it has been activated",
  },
  active: {
    movesTo: ["suspended", "deactivated", "compromised"],
    permits: keyOperations,
    consequence: "may be used",
  },
  suspended: {
    movesTo: ["active", "deactivated", "compromised"],
    permits: ["public-key"],
    consequence: "is not used until it is enabled again",
  },
  deactivated: {
    movesTo: ["compromised", "destroyed"],
    permits: [...processing, "public-key"],
    consequence: "protects nothing new; it still decrypts and verifies",
  },
  compromised: {
    movesTo: ["destroyed"],
    permits: [...rescuing, "public-key"],
    consequence: "protects nothing new and verifies nothing; it still decrypts",
  },
  destroyed: { movesTo: [], permits: [], consequence: "is gone for good" },
};

export function isKeyState(value: string): value is KeyState {
  return (keyStates as readonly string[]).includes(value);
}

export function mayMove(from: KeyState, to: KeyState): boolean {
  return stateTable[from].movesTo.includes(to);
}

/**
 * The shortest allowed way to `destroyed`, for a key whose destruction period has ended: an active
 * or suspended key is deactivated first.
 */
export function movesToDestroyed(from: KeyState): readonly KeyState[] {
  if (from === "destroyed") return [];
  return mayMove(from, "destroyed") ? ["destroyed"] : ["deactivated", "destroyed"];
}

export interface KeyCondition {
  keyState: KeyState;
  versionState: KeyState;
  /** Set while the key is pending destruction, and once it is destroyed. */
  destroyAt: Date | undefined;
  /** They travel with the material, so that they act at their second whoever is away. */
  keyDates?: KeyDates;
  versionDates?: KeyDates;
}

/**
 * Why `operation` is refused under `condition` at `now`, as the end of a sentence; undefined where it is permitted.
 */
export function whyRefused(operation: KeyOperation, condition: KeyCondition, now: Date): string | undefined {
  if (condition.keyState === "destroyed" && condition.destroyAt !== undefined) {
    return `was destroyed on ${condition.destroyAt.toISOString()}: it is gone for good`;
  }
  if (condition.destroyAt !== undefined) {
    return `is pending destruction on ${condition.destroyAt.toISOString()}`;
  }
  const { keyDates = noDates, keyState, versionDates = noDates, versionState } = condition;
  return (
    whyStateRefuses(operation, "is", keyState, keyDates, now) ??
    whyStateRefuses(operation, "has a version that is", versionState, versionDates, now)
  );
}

function whyStateRefuses(
  operation: KeyOperation,
  subject: string,
  stored: KeyState,
  dates: KeyDates,
  now: Date,
): string | undefined {
  const state = stateAt(stored, dates, now);
  const row = stateTable[state];
  if (row.permits.includes(operation)) return undefined;
  const { activateAt, expireAt } = dates;
  if (state === "pre-activation" && activateAt !== undefined) {
    return `${subject} ${state}: it becomes active on ${activateAt.toISOString()}`;
  }
  if (state === "deactivated" && expireAt !== undefined && expireAt <= now) {
    return `${subject} ${state} since ${expireAt.toISOString()}: it ${row.consequence}`;
  }
  return `${subject} ${state}: it ${row.consequence}`;
}
