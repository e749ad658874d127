import type { KeyState } from "./index.ts";

/**
 * Why a key is in its state. The names are RFC 5280's (section 5.3.1, CRLReason) where it has one; the others say what
 * SP 800-57 Part 1 Rev. 5 section 7.3 gives as a reason and a certificate has not.
 */
const reasonTable = {
  unspecified: ["active", "suspended", "deactivated", "compromised"],
  keyCompromise: ["suspended", "deactivated", "compromised"],
  cACompromise: ["suspended", "deactivated", "compromised"],
  aACompromise: ["suspended", "deactivated", "compromised"],
  affiliationChanged: ["suspended", "deactivated", "compromised"],
  superseded: ["suspended", "deactivated", "compromised"],
  cessationOfOperation: ["suspended", "deactivated", "compromised"],
  privilegeWithdrawn: ["suspended", "deactivated", "compromised"],
  certificateHold: ["suspended"],
  removeFromCRL: ["active"],
  suspectedCompromise: ["suspended"],
  investigated: ["active"],
  cryptoperiodEnded: ["deactivated"],
} as const satisfies Record<string, readonly KeyState[]>;

export type ChangeReason = keyof typeof reasonTable;

/** What Claviger itself gives: nobody else may. */
export const automaticReasons = [
  "activationDate",
  "expiryDate",
  "destructionPeriodEnded",
  "restoredFromBackup",
] as const;
export type AutomaticReason = (typeof automaticReasons)[number];

/** Those that a caller may give for a move to `state`. */
export function reasonsFor(state: KeyState): ChangeReason[] {
  const fits = ([, states]: [string, readonly KeyState[]]): boolean => states.includes(state);
  return Object.entries(reasonTable)
    .filter(fits)
    .map(([reason]) => reason as ChangeReason);
}
