export { checkRowsOnce } from "./check-once.ts";
export { freshSealer } from "./fresh-sealer.ts";
export { answerCheck, type GuardOptions, guardRows, type RowGuard } from "./guard.ts";
export { type Known, Ledger, type LedgerPlace } from "./ledger.ts";
export { type Finding, type FoundRow, lookAt, type ScannedPage, type ScanParts, scanRows } from "./scan.ts";
export { placeOf, readSealedPage, readSealedRows, type SealedTable } from "./sealed-table.ts";
export { Tampering, type TamperingOptions, tellingSealer } from "./tampering.ts";
export {
  insertWithdrawal,
  justAfter,
  later,
  sealedWithdrawals,
  type WithdrawalRow,
  withdrawalsOf,
} from "./withdrawals.ts";
