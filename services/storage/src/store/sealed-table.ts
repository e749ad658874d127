import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

/** A table whose rows carry a seal, as the scan reads it: in the order of its primary key. */
export interface SealedTable {
  readonly name: string;
  /** As the store's own queries select them, `seal` with them. */
  readonly columns: string;
  readonly key: readonly { readonly column: string; readonly type: "text" | "uuid" | "integer" }[];
  /** @throws DomainError `integrity`, naming the row, where the seal does not fit */
  // biome-ignore lint/suspicious/noExplicitAny: each store knows its own rows
  readonly open: (sealer: RowSealer, row: any) => unknown;
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
  const found = await tx.query<{ place: string[] }>(
    `SELECT ${columns}, ARRAY[${key.map(({ column }) => `${column}::text`).join(", ")}] AS place FROM ${name}
     ${after === undefined ? "" : `WHERE (${names}) > (${places})`} ORDER BY ${names} LIMIT $1`,
    [limit, ...(after ?? [])],
  );
  return {
    rows: found.map(({ place: _, ...row }) => row),
    end: found.length < limit ? undefined : found.at(-1)!.place,
  };
}
