import type { Transaction } from "@claviger/database";
import type { RowSealer } from "@claviger/row-seal";

export interface AuthorityRotationRow {
  /** Of the generation that comes. */
  generation: number;
  requestedBy: string;
  requestedAt: Date;
  endedAt: Date | null;
}

/** Where two ask at once, the first one's stays. */
export async function saveRotation(
  tx: Transaction,
  sealer: RowSealer,
  row: AuthorityRotationRow,
): Promise<void> {
  await tx.query(
    `INSERT INTO authority_rotations (generation, requested_by, requested_at, ended_at, seal)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (generation) DO UPDATE SET ended_at = $4, seal = $5`,
    [
      row.generation,
      row.requestedBy,
      row.requestedAt,
      row.endedAt,
      sealer.seal("authority_rotations", { ...row }),
    ],
  );
}

/** The newest one, whether it has ended or not. */
export async function newestRotation(
  tx: Transaction,
  sealer: RowSealer,
  lock: "read" | "lock" = "read",
): Promise<AuthorityRotationRow | undefined> {
  const [found] = await tx.query<AuthorityRotationRow & { seal: Buffer }>(
    `SELECT generation, requested_by AS "requestedBy", requested_at AS "requestedAt", ended_at AS "endedAt", seal
     FROM authority_rotations ORDER BY generation DESC LIMIT 1 ${lock === "lock" ? "FOR UPDATE" : ""}`,
  );
  if (found === undefined) return undefined;
  const { seal, ...row } = found;
  sealer.check("authority_rotations", `CA rotation ${row.generation}`, { ...row }, seal);
  return row;
}
