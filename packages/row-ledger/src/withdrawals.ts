import { randomUUID } from "node:crypto";
import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";
import type { SealedTable } from "./sealed-table.ts";

/** Claviger took a row away. */
export interface WithdrawalRow {
  id: string;
  /** The table that it was in. */
  source: string;
  /** Its primary key's columns as text, one to a line. */
  place: string;
  withdrawnAt: Date;
}

const columns = `id, source, place, withdrawn_at AS "withdrawnAt", seal`;

export async function insertWithdrawal(
  tx: Transaction,
  sealer: RowSealer,
  withdrawn: Omit<WithdrawalRow, "id">,
): Promise<void> {
  const row = { id: randomUUID(), ...withdrawn };
  await tx.query(
    "INSERT INTO withdrawals (id, source, place, withdrawn_at, seal) VALUES ($1, $2, $3, $4, $5)",
    [row.id, row.source, row.place, row.withdrawnAt, sealer.seal("withdrawals", { ...row })],
  );
}

/** Of rows that were at these places of a table. */
export async function withdrawalsOf(
  tx: Transaction,
  source: string,
  places: readonly string[],
): Promise<object[]> {
  return tx.query(`SELECT ${columns} FROM withdrawals WHERE source = $1 AND place = ANY($2)`, [
    source,
    places,
  ]);
}

/** For a row that takes the place of another that is withdrawn now: it is the newer of the two. */
export function justAfter(now: Date): Date {
  return new Date(now.getTime() + 1);
}

/** Replicas' clocks differ: a row is never withdrawn before it was made. */
export function later(one: Date, other: Date): Date {
  return one > other ? one : other;
}

function open(sealer: RowSealer, { seal, ...row }: WithdrawalRow & { seal: Buffer }): WithdrawalRow {
  sealer.check("withdrawals", `the withdrawal of ${row.place} in ${row.source}`, { ...row }, seal);
  return row;
}

export const sealedWithdrawals: SealedTable = {
  name: "withdrawals",
  columns,
  key: [{ column: "id", type: "uuid" }],
  revision: (row: WithdrawalRow) => row.withdrawnAt.getTime(),
  open,
};
