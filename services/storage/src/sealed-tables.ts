import { sealedApprovalRules } from "./store/approval-rules.ts";
import { sealedApprovals, sealedVotes } from "./store/approvals.ts";
import { sealedBackups } from "./store/backups.ts";
import { sealedBindings } from "./store/bindings.ts";
import { sealedAcknowledgements } from "./store/custody-acknowledgements.ts";
import { sealedDestructionAcknowledgements, sealedDestructions } from "./store/destructions.ts";
import { sealedDrills } from "./store/drills.ts";
import { sealedEmergencies } from "./store/emergencies.ts";
import { sealedEmergencyRules } from "./store/emergency-rules.ts";
import { sealedFloors } from "./store/floors.ts";
import { sealedGenerationEnds } from "./store/generation-ends.ts";
import { sealedGroupMembers } from "./store/groups.ts";
import { sealedHolds } from "./store/holds.ts";
import { sealedInstallation } from "./store/installation.ts";
import { sealedVersions } from "./store/key-versions.ts";
import { sealedKeyringFloors } from "./store/keyring-floors.ts";
import { sealedGenerations, sealedKeyrings } from "./store/keyrings.ts";
import { sealedKeys } from "./store/keys.ts";
import { sealedRecoveryKeys } from "./store/recovery-keys.ts";
import { sealedRevocations } from "./store/revocations.ts";
import type { SealedTable } from "./store/sealed-table.ts";
import { sealedUses } from "./store/uses.ts";
import { sealedWithdrawals } from "./store/withdrawals.ts";

/** Every table whose rows grant power. What was withdrawn comes first: it explains what is missing in the others. */
export const sealedTables: readonly SealedTable[] = [
  sealedWithdrawals,
  sealedInstallation,
  sealedKeyrings,
  sealedGenerations,
  sealedGenerationEnds,
  sealedKeys,
  sealedVersions,
  sealedUses,
  sealedHolds,
  sealedBindings,
  sealedRevocations,
  sealedRecoveryKeys,
  sealedAcknowledgements,
  sealedGroupMembers,
  sealedApprovalRules,
  sealedApprovals,
  sealedVotes,
  sealedDestructions,
  sealedDestructionAcknowledgements,
  sealedBackups,
  sealedDrills,
  sealedEmergencyRules,
  sealedEmergencies,
  sealedFloors,
  sealedKeyringFloors,
];
