import { plainOf } from "./plain.ts";

export type Cell = string | number | bigint | undefined;

/** Where a command's answer goes: a document for programs, or text for people; never both. */
export interface Output {
  readonly json: boolean;
  /** The answer. Each command gives exactly one. */
  answer(document: unknown, text: () => string): void;
  /** Progress and advice for people: stderr, and silent with `--json`. */
  notice(message: string): void;
}

const lineCharactersMax = 100;
const columnGap = "  ";
/** No column is cut below this, since then nothing of it could be read. */
const columnCharactersMin = 8;

export function createOutput(json: boolean): Output {
  return {
    json,
    answer(document, text) {
      const shown = json ? JSON.stringify(plainOf(document), null, 2) : text();
      if (shown !== "") process.stdout.write(shown.endsWith("\n") ? shown : `${shown}\n`);
    },
    notice(message) {
      if (!json) process.stderr.write(`${message}\n`);
    },
  };
}

/** A table of at most 100 columns; the widest column gives way. `empty` stands for no rows. */
export function table(headers: readonly string[], rows: readonly (readonly Cell[])[], empty: string): string {
  if (rows.length === 0) return empty;
  const lines = [headers, ...rows.map((row) => row.map(cellText))];
  const widths = headers.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const gaps = columnGap.length * (headers.length - 1);
  for (;;) {
    const excess = widths.reduce((sum, width) => sum + width, gaps) - lineCharactersMax;
    const widest = Math.max(...widths);
    if (excess <= 0 || widest <= columnCharactersMin) break;
    widths[widths.indexOf(widest)] = Math.max(columnCharactersMin, widest - 1);
  }
  return lines
    .map((line) =>
      line
        .map((cell, column) => fitTo(cell, widths[column]!))
        .join(columnGap)
        .trimEnd(),
    )
    .join("\n");
}

/** A list of names and values, for one object. */
export function properties(entries: readonly (readonly [string, Cell])[]): string {
  const shown = entries.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${cellText(value)}`).join("\n");
}

function fitTo(text: string, width: number): string {
  return text.length <= width ? text.padEnd(width) : `${text.slice(0, width - 1)}…`;
}

function cellText(value: Cell): string {
  return value === undefined ? "" : printable(String(value));
}

/** What others wrote must not move the cursor or colour the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones to keep out
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** `spiffe://domain/user/alice` → `user/alice`. */
export function shortIdentity(uri: string): string {
  return uri.replace(/^spiffe:\/\/[^/]+\//, "");
}
