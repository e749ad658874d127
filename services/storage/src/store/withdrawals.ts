export {
  insertWithdrawal,
  justAfter,
  later,
  sealedWithdrawals,
  type WithdrawalRow,
  withdrawalsOf,
} from "@claviger/row-ledger";
