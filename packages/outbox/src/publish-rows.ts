import type { Bus } from "@claviger/bus";

export interface OutboxRow {
  id: string;
  /** Of the bus. */
  subject: string;
  payload: Buffer;
}

/**
 * Publishes rows, those of one group strictly one after the other: what the bus did not take holds back
 * what came after it in its group, and nothing else. Resolves to the ids that the bus has.
 */
export async function publishRows(
  bus: Pick<Bus, "publish">,
  rows: readonly OutboxRow[],
  groupOf: (row: OutboxRow) => string,
): Promise<string[]> {
  const groups = [...Map.groupBy(rows, groupOf).values()];
  return (await Promise.all(groups.map((group) => publishInOrder(bus, group)))).flat();
}

async function publishInOrder(bus: Pick<Bus, "publish">, rows: readonly OutboxRow[]): Promise<string[]> {
  const taken: string[] = [];
  for (const row of rows) {
    try {
      await bus.publish(row.subject, row.payload, row.id);
    } catch {
      return taken;
    }
    taken.push(row.id);
  }
  return taken;
}

/** What a CloudEvent is about, such as a key: its events reach the bus in the order in which they happened. */
export function subjectOf(row: OutboxRow): string {
  try {
    return (JSON.parse(row.payload.toString("utf8")) as { subject?: string }).subject ?? "";
  } catch {
    return "";
  }
}
