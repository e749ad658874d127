import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Client } from "pg";
import { from as copyFrom } from "pg-copy-streams";
import { columnList, sectionName, sqlName, type Table, tablesOf } from "./tables.ts";

/** Puts a backup's rows in the place of all that there are, in one transaction: all of them, or nothing. */
export async function replaceRows(
  database: Client,
  directory: string,
  onProgress: (message: string) => void,
): Promise<void> {
  const tables = await tablesOf(database);
  await database.query("BEGIN");
  try {
    // Rows come table by table: references and the log's own rules held when they were written.
    await database.query("SET LOCAL session_replication_role = replica");
    await database.query(`TRUNCATE ${tables.map(sqlName).join(", ")}`);
    for (const table of tables) {
      const rows = database.query(
        copyFrom(`COPY ${sqlName(table)} (${columnList(table.columns)}) FROM STDIN`),
      );
      await pipeline(createReadStream(join(directory, `${sectionName(table)}.rows`)), rows);
      if (rows.rowCount > 0) {
        onProgress(`${sectionName(table)}: ${rows.rowCount.toLocaleString("en")} rows`);
      }
    }
    for (const table of tables) await continueSequences(database, table);
    await database.query("COMMIT");
  } catch (error) {
    await database.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
}

/** An identity column goes on after the greatest number that was used. */
async function continueSequences(database: Client, table: Table): Promise<void> {
  const { rows } = await database.query<{ column: string }>(
    `SELECT column_name AS column FROM information_schema.columns
     WHERE table_schema = $1 AND table_name = $2 AND is_identity = 'YES'`,
    [table.schema, table.name],
  );
  for (const { column } of rows) {
    const name = columnList([column]);
    await database.query(
      `SELECT setval(pg_get_serial_sequence($1, $2), coalesce(max(${name}), 0) + 1, false) FROM ${sqlName(table)}`,
      [sqlName(table), column],
    );
  }
}

/** Keys of users that a restore would put an end to; the one that the tour of a first start makes is none. */
export async function keysThere(database: Client): Promise<number> {
  const { rows } = await database.query<{ count: string }>(
    `SELECT count(*) AS count FROM storage.keys
     WHERE keyring <> 'system' AND state <> 'destroyed' AND NOT (keyring = 'tour' AND name = 'first')`,
  );
  return Number(rows[0]?.count ?? 0);
}
