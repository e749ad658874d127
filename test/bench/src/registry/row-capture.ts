import type { Transaction } from "../../../../packages/database/src/index.ts";

/** What storage's own code would insert, as lines of COPY: the same columns, seals and all. */
export class RowCapture implements Transaction {
  readonly #tables = new Map<string, { columns: string; lines: string[] }>();

  async query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const match = /^INSERT INTO (\w+) \(([^)]+)\)/.exec(sql);
    if (match === null) throw new Error(`this is not an insert: ${sql.slice(0, 60)}`);
    this.add(match[1]!, match[2]!, values);
    return [{}] as Row[];
  }

  afterCommit(): void {}

  add(table: string, columns: string, values: readonly unknown[]): void {
    const known = this.#tables.get(table) ?? { columns, lines: [] };
    this.#tables.set(table, known);
    known.lines.push(`${values.map(fieldText).join("\t")}\n`);
  }

  /** What was captured until now, table by table in the order of their first row. */
  take(): { table: string; columns: string; text: string }[] {
    const taken = [...this.#tables].map(([table, { columns, lines }]) => ({
      table,
      columns,
      text: lines.join(""),
    }));
    for (const one of this.#tables.values()) one.lines = [];
    return taken.filter(({ text }) => text !== "");
  }
}

function fieldText(value: unknown): string {
  if (value === null || value === undefined) return "\\N";
  if (Buffer.isBuffer(value)) return `\\\\x${value.toString("hex")}`;
  if (value instanceof Date) return value.toISOString();
  return String(value);
}
