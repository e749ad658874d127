import { type SealedTable, sealedWithdrawals } from "@claviger/row-ledger";
import { sealedAuthorities } from "./store/authorities.ts";
import { sealedCertificates } from "./store/certificates.ts";
import { sealedDeliveries } from "./store/deliveries.ts";
import { sealedGroupMembers } from "./store/group-members.ts";
import { sealedIdentities, sealedTokens } from "./store/identities.ts";
import { sealedKeyGroups } from "./store/key-groups.ts";
import { sealedPreSharedKeyGenerations, sealedPreSharedKeys } from "./store/pre-shared-keys.ts";
import { sealedRecipients } from "./store/recipients.ts";
import { sealedSessionRules } from "./store/session-rules.ts";

/** Every table whose rows grant power. What was withdrawn comes first: it explains what is missing in the others. */
export const sealedTables: readonly SealedTable[] = [
  sealedWithdrawals,
  sealedAuthorities,
  sealedIdentities,
  sealedTokens,
  sealedCertificates,
  sealedRecipients,
  sealedSessionRules,
  sealedPreSharedKeys,
  sealedPreSharedKeyGenerations,
  sealedDeliveries,
  sealedKeyGroups,
  sealedGroupMembers,
];
