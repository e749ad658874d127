import { type SealedTable, sealedWithdrawals } from "@claviger/row-ledger";
import { sealedAuthorities } from "./store/authorities.ts";
import { sealedCertificates } from "./store/certificates.ts";
import { sealedIdentities, sealedTokens } from "./store/identities.ts";

/** Every table whose rows grant power. What was withdrawn comes first: it explains what is missing in the others. */
export const sealedTables: readonly SealedTable[] = [
  sealedWithdrawals,
  sealedAuthorities,
  sealedIdentities,
  sealedTokens,
  sealedCertificates,
];
