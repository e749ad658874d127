export {
  insertWithdrawal,
  later,
  sealedWithdrawals,
  type WithdrawalRow,
  withdrawalsOf,
} from "@claviger/row-ledger";
