import { DomainError } from "@claviger/domain-error";
import type { PreSharedKeyGenerationRow, PreSharedKeyRow } from "../store/pre-shared-keys.ts";

export const overlapSeconds = { default: 86_400, max: 90 * 86_400 } as const;
export const generationsKept = 16;

export type GenerationState = "waiting" | "current" | "retiring" | "retired";

export interface GenerationView {
  row: PreSharedKeyGenerationRow;
  state: GenerationState;
  retiresAt: Date | undefined;
}

/** When both parties had it. */
function completeAt({ acknowledgedAAt, acknowledgedBAt }: PreSharedKeyGenerationRow): number | undefined {
  if (acknowledgedAAt === null || acknowledgedBAt === null) return undefined;
  return Math.max(acknowledgedAAt.getTime(), acknowledgedBAt.getTime());
}

/**
 * What each generation is good for now, oldest first. One goes on until both parties have a later one, and for the
 * overlap from then on: neither side is ever without a key that the other has.
 */
export function viewGenerations(
  { overlapSeconds: overlap }: PreSharedKeyRow,
  rows: readonly PreSharedKeyGenerationRow[],
  now: Date,
): GenerationView[] {
  return rows.map((row, at) => {
    const successors = rows.slice(at + 1).flatMap((later) => completeAt(later) ?? []);
    if (successors.length === 0) {
      return { row, state: completeAt(row) === undefined ? "waiting" : "current", retiresAt: undefined };
    }
    const retiresAt = new Date(Math.min(...successors) + overlap * 1000);
    return { row, state: retiresAt.getTime() > now.getTime() ? "retiring" : "retired", retiresAt };
  });
}

/** A party's side of a generation. @throws DomainError `denied` where it is none of the two */
export function sideOf(key: PreSharedKeyRow | undefined, party: string): "A" | "B" {
  if (key?.partyA === party) return "A";
  if (key?.partyB === party) return "B";
  // Said alike whether the key exists or not.
  throw new DomainError("denied", "there is no pre-shared key of this name for this identity", {
    hint: "claviger psk create NAME --parties A,B makes one, for an administrator",
  });
}

/** The generation that a party asks for; 0: the oldest that it still has to take. */
export function deliverable(
  views: readonly GenerationView[],
  side: "A" | "B",
  generation: number,
): PreSharedKeyGenerationRow & { ticket: string } {
  const ticketOf = ({ row }: GenerationView): string | null => (side === "A" ? row.ticketA : row.ticketB);
  const waiting = views.filter((view) => ticketOf(view) !== null && view.state !== "retired");
  const found = generation === 0 ? waiting[0] : waiting.find(({ row }) => row.generation === generation);
  if (found !== undefined) return { ...found.row, ticket: ticketOf(found)! };
  const acknowledged = views.some(
    (view) => (generation === 0 || view.row.generation === generation) && ticketOf(view) === null,
  );
  throw new DomainError(
    "failed-precondition",
    acknowledged
      ? "this party has acknowledged the key, and it is never delivered again"
      : "there is no such generation to deliver",
    { hint: "where it was lost, an administrator makes the next: claviger psk rotate NAME" },
  );
}

export function acknowledgedBy(
  row: PreSharedKeyGenerationRow,
  side: "A" | "B",
  at: Date,
): PreSharedKeyGenerationRow {
  const already = side === "A" ? row.acknowledgedAAt : row.acknowledgedBAt;
  if (already !== null) return row;
  const revision = row.revision + 1;
  return side === "A"
    ? { ...row, ticketA: null, acknowledgedAAt: at, revision }
    : { ...row, ticketB: null, acknowledgedBAt: at, revision };
}
