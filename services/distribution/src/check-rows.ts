import { checkRowsOnce } from "@claviger/row-ledger";
import { sealedTables } from "./sealed-tables.ts";

// What `claviger backup drill` runs over a database of its own.
await checkRowsOnce(process.env, sealedTables);
