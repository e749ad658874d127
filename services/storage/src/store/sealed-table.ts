import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

/** A table whose rows carry a seal, as the scan reads it: in the order of its primary key. */
export interface SealedTable {
  readonly name: string;
  /** As the store's own queries select them, `seal` with them. */
  readonly columns: string;
  readonly key: readonly { readonly column: string; readonly type: "text" | "uuid" | "integer" }[];
  /** Whether rows are changed after they were made. */
  readonly changes?: true;
  /** What grows with each change of a row; of a row that never changes, when it was made, in milliseconds. */
  // biome-ignore lint/suspicious/noExplicitAny: each store knows its own rows
  readonly revision: (row: any) => number;
  /** What people call a row that is gone; its place where left out. */
  // biome-ignore lint/suspicious/noExplicitAny: each store knows its own rows
  readonly label?: (row: any) => string;
  /** @throws DomainError `integrity`, naming the row, where the seal does not fit */
  // biome-ignore lint/suspicious/noExplicitAny: each store knows its own rows
  readonly open: (sealer: RowSealer, row: any) => unknown;
}

/** A row's primary key as text, one column to a line; the row as the table's `open` gives it. */
export function placeOf({ key }: SealedTable, row: object): string {
  const fields = row as Record<string, unknown>;
  return key.map(({ column }) => String(fields[fieldOf(column)])).join("\n");
}

function fieldOf(column: string): string {
  return column.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The rows at these places, as `open` takes them; those that are gone are left out. */
export async function readSealedRows(
  tx: Transaction,
  { columns, key, name }: SealedTable,
  places: readonly string[],
): Promise<object[]> {
  const parts = places.map((place) => place.split("\n"));
  const lists = key.map((_, at) => parts.map((columnsOfPlace) => columnsOfPlace[at]));
  const wanted = key.map(({ type }, at) => `unnest($${at + 1}::${type}[])`).join(", ");
  const names = key.map(({ column }) => column).join(", ");
  return tx.query(`SELECT ${columns} FROM ${name} WHERE (${names}) IN (SELECT ${wanted})`, lists);
}

export interface SealedPage {
  rows: object[];
  /** Where it ended; undefined where nothing comes after it. */
  end: string[] | undefined;
}

export async function readSealedPage(
  tx: Transaction,
  { columns, key, name }: SealedTable,
  after: readonly string[] | undefined,
  limit: number,
): Promise<SealedPage> {
  const names = key.map(({ column }) => column).join(", ");
  const places = key.map(({ type }, at) => `$${at + 2}::${type}`).join(", ");
  // By a name that no table has for a column: one has "place".
  const found = await tx.query<{ scannedTo: string[] }>(
    `SELECT ${columns}, ARRAY[${key.map(({ column }) => `${column}::text`).join(", ")}] AS "scannedTo" FROM ${name}
     ${after === undefined ? "" : `WHERE (${names}) > (${places})`} ORDER BY ${names} LIMIT $1`,
    [limit, ...(after ?? [])],
  );
  return {
    rows: found.map(({ scannedTo: _, ...row }) => row),
    end: found.length < limit ? undefined : found.at(-1)!.scannedTo,
  };
}
