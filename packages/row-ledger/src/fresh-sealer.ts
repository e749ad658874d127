import { DomainError } from "@claviger/domain-error";
import type { RowSealer } from "@claviger/row-seal";
import type { Ledger } from "./ledger.ts";
import type { Finding } from "./scan.ts";
import { placeOf, type SealedTable } from "./sealed-table.ts";

/** SQLSTATE serialization_failure: the database layer runs the transaction once more. */
const serializationFailure = "40001";
const rememberedMax = 10_000;

/**
 * The same sealer, that also refuses a row which the ledger knows as newer, or as taken away. A row may have been
 * changed while it was on its way: it is read once more, in a transaction of its own, before that is said.
 */
export function freshSealer(
  sealer: RowSealer,
  {
    ledger,
    tables,
    tell,
  }: { ledger: Ledger; tables: readonly SealedTable[]; tell: (finding: Finding) => void },
): RowSealer {
  const byName = new Map(tables.map((table) => [table.name, table]));
  const suspected = new Set<string>();
  return {
    seal: sealer.seal,
    check(name, rowName, row, seal) {
      sealer.check(name, rowName, row, seal);
      const table = byName.get(name);
      const why = table === undefined ? undefined : ledger.whyOld(table, row);
      if (table === undefined || why === undefined) return;
      const suspect = `${name}\n${placeOf(table, row)}\n${table.revision(row)}`;
      if (!suspected.has(suspect)) {
        if (suspected.size >= rememberedMax) suspected.clear();
        suspected.add(suspect);
        throw Object.assign(new Error("a row is looked at once more"), { code: serializationFailure });
      }
      const what = `the row of ${rowName} ${why}`;
      tell({ table: name, row: rowName, what });
      throw new DomainError("integrity", what, {
        hint: "treat the database as tampered with: `claviger audit search` shows what was really done to it",
      });
    },
  };
}
