import { join } from "node:path";
import { readSettings } from "@claviger/config";
import { openDatabase } from "@claviger/database";
import { rowSealerFromFile } from "@claviger/row-seal";
import { readDatabaseSettings } from "@claviger/service";
import { Ledger } from "./ledger.ts";
import { type Finding, type ScanParts, scanRows } from "./scan.ts";
import type { SealedTable } from "./sealed-table.ts";

const findingsKept = 20;

/**
 * Looks once at every sealed row of a database that nobody serves, with the seal key that lies beside it: how a drill
 * finds out whether a restored service would accept its own rows. Prints what it found, as JSON.
 */
export async function checkRowsOnce(
  environment: NodeJS.ProcessEnv,
  tables: readonly SealedTable[],
  scan: (parts: ScanParts) => AsyncIterable<{ rows: number; findings: readonly Finding[] }> = (parts) =>
    scanRows(parts, tables),
): Promise<void> {
  const settings = readSettings(environment, (reader) => {
    const directory = reader.text("CLAVIGER_DIRECTORY");
    return { directory, database: readDatabaseSettings(reader, directory) };
  });
  await using database = openDatabase(settings.database);
  using ledger = new Ledger(":memory:", tables, (what) => {
    throw new Error(what);
  });
  const sealer = rowSealerFromFile(join(settings.directory, "seal.key"));
  let rows = 0;
  let found = 0;
  const kept: { of: string; what: string }[] = [];
  for await (const page of scan({ database, ledger, sealer })) {
    rows += page.rows;
    found += page.findings.length;
    for (const { row, table, what } of page.findings.slice(0, findingsKept - kept.length)) {
      kept.push({ of: `${table}: ${row}`, what });
    }
  }
  process.stdout.write(JSON.stringify({ rows, findings: found, kept }));
}
