import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

/** What every operation on this service's rows needs; one for each transaction. */
export interface Registry {
  tx: Transaction;
  sealer: RowSealer;
}

export type OpenRegistry = (tx: Transaction) => Registry;
