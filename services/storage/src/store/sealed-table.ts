export { readSealedPage, readSealedRows, type SealedTable } from "@claviger/row-ledger";
